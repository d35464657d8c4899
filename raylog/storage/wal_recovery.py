"""What earlier epochs left in a file WAL's folder, in append order.

Rules:

- An epoch's entries are those of its segments in the order of their generations, as long as the LSNs go on without a gap. The
  first gap, torn or corrupt entry ends the epoch; nothing behind it counts, however whole it looks. None of it was
  acknowledged: an acknowledgement waits for the sync of everything before it.
- A segment that is gone, or in another use, since it was listed was given up by its writer, who did not know that it is fenced,
  as the bucket has all of it: the epoch goes on with the next segment.
- Of epochs before the newest that has written anything, a claim included, only what its cuts name counts: the rest came from a
  writer that was fenced already.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from raylog.model.errors import CorruptError, FencedError, reading
from raylog.model.ids import LeaderId, LogEpoch, Lsn
from raylog.storage.wal import WalEntry
from raylog.storage.wal_disk import SegmentFile, WalDisk, aside, is_set_aside
from raylog.storage.wal_format import (
    HEADER_BYTES_MAX,
    SegmentHeader,
    cut_off_entry_bytes,
    decode_entries,
    decode_segment_header,
    entry_bytes,
)
from raylog.storage.wal_pool import epoch_of

_PIECE_BYTES_MIN = 256 * 1024
_PIECE_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _OldSegment:
    name: str
    header: SegmentHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class OldEpoch:
    """An earlier writer's segments in order, and the last LSN that may be taken from it (None: all that is whole)."""

    epoch: LogEpoch
    segments: tuple[_OldSegment, ...]
    last_lsn: Lsn | None

    def first_lsn_behind(self, index: int) -> Lsn:
        """Where the segment behind that one begins; of the last one, where it began: what it had is unknown."""
        return self.segments[min(index + 1, len(self.segments) - 1)].header.first_lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    epochs: tuple[OldEpoch, ...]
    """What to recover, oldest first."""
    names: tuple[str, ...]
    """The segments of earlier epochs, to be removed once their content is in the bucket."""
    aside_names: tuple[str, ...]
    """Segments that nothing was ever acknowledged from, spares and those whose first write was torn: set aside, as what their
    writers may still write into them is nobody's."""
    newest: LogEpoch
    """That has written anything; 0: none."""


def find_leftovers(disk: WalDisk, leader_id: LeaderId, epoch: LogEpoch) -> Leftovers:
    """Look at what is in the folder of a writer that opens at ``epoch``, and set aside what is nothing. Blocking.

    Raises FencedError when a later epoch has written here, CorruptError for another leader's segment or a newer format.
    """
    found = disk.names()
    names = [name for name in found if epoch_of(name) is not None]
    looks = [(name, _look(disk, name)) for name in names]
    segments = [segment for _, segment in looks if segment is not None]
    for segment in segments:
        if segment.header.epoch >= epoch:
            raise FencedError(f"The WAL has entries of epoch {segment.header.epoch}, not below this writer's {epoch}.")
        if segment.header.leader_id != leader_id:
            raise CorruptError(f"{segment.name} belongs to leader {segment.header.leader_id}, not to {leader_id}.")
    newest = max((segment.header.epoch for segment in segments), default=LogEpoch(0))
    limits: dict[LogEpoch, Lsn | None] = {newest: None}
    for segment in segments:
        if segment.header.epoch == newest:
            limits.update(segment.header.cuts)
    blank_names = [name for name, segment in looks if segment is None]
    disk.set_aside(blank_names)
    return Leftovers(
        epochs=tuple(_old_epochs(segments, limits)),
        names=tuple(segment.name for segment in segments),
        aside_names=(*filter(is_set_aside, found), *map(aside, blank_names)),
        newest=newest,
    )


def _look(disk: WalDisk, name: str) -> _OldSegment | None:
    file = disk.open(name)
    try:
        header = _header(file)
    finally:
        file.close()
    return None if header is None else _OldSegment(name=name, header=header)


def _header(file: SegmentFile) -> SegmentHeader | None:
    with reading(f"The WAL segment '{file.name}'"):
        return decode_segment_header(file.read(0, HEADER_BYTES_MAX))


def _old_epochs(segments: list[_OldSegment], limits: dict[LogEpoch, Lsn | None]) -> Iterator[OldEpoch]:
    for epoch in sorted(limits):
        own = [segment for segment in segments if segment.header.epoch == epoch and segment.header.generation]
        own.sort(key=lambda segment: segment.header.generation)
        if own:
            yield OldEpoch(epoch=epoch, segments=tuple(own), last_lsn=limits[epoch])


def read_segment(disk: WalDisk, old: OldEpoch, index: int, next_lsn: Lsn) -> list[WalEntry] | None:
    """The entries of an epoch's segment ``index`` from ``next_lsn`` on; none when the segment does not go on there. None when its
    writer has given it up since it was listed. Blocking."""
    segment = old.segments[index]
    if segment.header.first_lsn != next_lsn:
        return []
    try:
        file = disk.open(segment.name)
    except FileNotFoundError:
        return None
    try:
        entries = _entries(file, segment.header, next_lsn)
        taken = list(takewhile(lambda entry: old.last_lsn is None or entry.lsn <= old.last_lsn, entries))
        # A writer that does not know yet that it is fenced may have written since the opening, and not have synced.
        file.sync()
        is_last = index + 1 == len(old.segments)
        end_lsn = taken[-1].lsn + 1 if taken else next_lsn
        if not is_last and end_lsn != old.segments[index + 1].header.first_lsn and _header(file) != segment.header:
            return None
        return taken
    finally:
        file.close()


def _entries(file: SegmentFile, header: SegmentHeader, lsn: Lsn) -> Iterator[WalEntry]:
    """Read piece by piece: a segment may be as good as empty when its writer dies, and whoever waits for the next one waits for
    each byte that is read."""
    position, wanted, piece_bytes = header.size_bytes, 1, _PIECE_BYTES_MIN
    while position < file.size_bytes and wanted:
        data = file.read(position, max(wanted, piece_bytes))
        piece_bytes = min(4 * piece_bytes, _PIECE_BYTES_MAX)
        used = 0
        for entry in decode_entries(data, header, lsn, 0):
            used += entry_bytes(entry)
            lsn = Lsn(entry.lsn + 1)
            yield entry
        is_last = position + len(data) >= file.size_bytes
        wanted = 0 if is_last else cut_off_entry_bytes(data, header, lsn, used)
        position += used
