"""Sends buffers and parts of files over one socket, in order and without waiting: what uvloop's transports cannot (no sendfile).

It has a duplicate of the transport's socket, as a loop lets nobody else watch a socket that a transport has. Whoever uses
both sees to it that only one of them has something to send at a time.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from raylog.model.buffers import Buffer
from raylog.protocol.file_range import FileRange, Part

_BUFFERS_MAX: Final = 512
"""In one system call; Linux takes 1,024."""
_TURN_BYTES: Final = 4 << 20
"""About so much is sent in one turn of the loop, or a peer that takes it as fast as it comes would have the loop for itself."""


class FileSender:
    def __init__(self, fd: int, *, on_sent: Callable[[], None], on_error: Callable[[OSError], None]) -> None:
        """``fd`` is a connected socket that does not block. ``on_sent`` is called each time some of what had to wait has left,
        ``on_error`` once, when nothing more can be sent. Raises OSError when the socket cannot be duplicated."""
        self._loop = asyncio.get_running_loop()
        self._on_sent = on_sent
        self._on_error = on_error
        self._socket = socket.socket(fileno=os.dup(fd))
        self._fd = self._socket.fileno()
        self._parts: deque[Part] = deque()
        self._is_watching = False
        self.unsent_bytes = 0

    def send(self, parts: Iterable[Part]) -> None:
        """Send what the socket takes now; the rest follows as it takes more."""
        for part in parts:
            self._parts.append(part)
            self.unsent_bytes += len(part)
        if not self._is_watching:
            self._try()

    def close(self) -> None:
        """Drop what is unsent."""
        self._parts.clear()
        self.unsent_bytes = 0
        self._watch(False)
        self._socket.close()

    def _continue(self) -> None:
        self._try()
        self._on_sent()

    def _try(self) -> None:
        parts = self._parts
        enough = self.unsent_bytes - _TURN_BYTES
        try:
            while parts and self.unsent_bytes > enough:
                part = parts[0]
                took_all = self._send_file(part) if isinstance(part, FileRange) else self._send_buffers()
                if not took_all:
                    break  # the socket is full, which another try would only say once more
        except BlockingIOError:
            pass
        except OSError as error:
            self.close()
            self._on_error(error)
            return
        self._watch(bool(parts))

    def _send_file(self, at: FileRange) -> bool:
        """Whether the socket took all of it."""
        sent = os.sendfile(self._fd, at.file.fd, at.start, at.size_bytes)
        if not sent:
            raise OSError("A file has become shorter while it was sent.")
        self.unsent_bytes -= sent
        if sent == at.size_bytes:
            self._parts.popleft()
            return True
        self._parts[0] = at.without(sent)
        return False

    def _send_buffers(self) -> bool:
        """Send those before the next part of a file, which does not wait to share a packet with them: the peer is awake then when
        it comes, and takes a twentieth more in the same time. Whether the socket took them all."""
        buffers: list[Buffer] = []
        for part in self._parts:
            if isinstance(part, FileRange) or len(buffers) == _BUFFERS_MAX:
                break
            buffers.append(part)
        sent = self._socket.sendmsg(buffers)
        self.unsent_bytes -= sent
        for buffer in buffers:
            if sent < len(buffer):
                self._parts[0] = memoryview(buffer)[sent:]
                return False
            sent -= len(buffer)
            self._parts.popleft()
        return True

    def _watch(self, is_wanted: bool) -> None:
        if is_wanted and not self._is_watching:
            self._loop.add_writer(self._socket, self._continue)
        elif self._is_watching and not is_wanted:
            self._loop.remove_writer(self._socket)
        self._is_watching = is_wanted
