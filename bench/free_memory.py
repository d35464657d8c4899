"""Free memory made alike for all that is measured.

A virtual machine's host may take back memory that is free there (free page reporting, in the Linux documentation's
``mm/free_page_reporting.rst``), a part of it every two seconds. Whoever needs it next waits for the host: 2.5 s of processor time
a GB here, ten times what the copying into it takes. The first server of a round got what had just been given up and its
neighbour what had been free for long: one of three rounds had half the rate, whichever server's it was.
"""

import mmap

import psutil

_SHARE_MAX = 0.5
"""Of the memory that is free: what others have in the page cache stays."""
_PIECE_BYTES = 64 << 20


def touch(size_bytes: int) -> None:
    """Take so much memory from the system, write to each page of it, and give it back."""
    size_bytes = min(size_bytes, int(psutil.virtual_memory().free * _SHARE_MAX))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    pieces = [mmap.mmap(-1, _PIECE_BYTES, flags=flags) for _ in range(size_bytes // _PIECE_BYTES)]
    for piece in pieces:
        piece.close()
