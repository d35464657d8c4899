"""The bytes of a file WAL: segment header, entry, fence mark. Big-endian; every part carries its own CRC-32C.

- A *segment* is a file of fixed length: a header, then entries without gaps. What follows the last entry is zeros, or what an
  earlier use of the file left there.
- An *entry*'s checksum covers its epoch, its segment's generation and its LSN as well as its body, so that the content of an
  earlier use, whole as it may look, is never taken for an entry of this one.
- An entry is batches, or a take-over (``raylog.storage.wal_take_over``): the top bit of its body's length tells.
- A *cut* in a segment header says up to which LSN an older epoch was recovered by this segment's writer. What a fenced writer
  adds to its own segments later lies behind the cut, and no recovery ever reads it.
- A *claim* is a segment of generation 0: a header for its cuts alone, without entries.
- The *fence* is one page of marks. An epoch's mark has its own place, so that two writers who open at the same time cannot
  overwrite each other's, and the highest mark never goes down.

Entries have the version of their segment's header. The format is described for other programs in docs/format.md, and golden
files keep it.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from crc32c import crc32c

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import LeaderId, LogEpoch, Lsn, TopicId, TopicPartition
from raylog.storage.wal import WalEntry

VERSION = 2
_VERSION_WITHOUT_TAKE_OVERS = 1
HEADER_ALIGNMENT_BYTES = 4096
"""Headers fill whole pages, so that writing the first entry never rewrites a header's page."""

HEADER_BYTES_MAX = 16 * HEADER_ALIGNMENT_BYTES
"""Room for some 4,000 cuts: as many openings without one flush between them."""

_SEGMENT_MAGIC = b"RAYLOGWS"
_CRC = struct.Struct(">I")
_SEGMENT = struct.Struct(">8sHIQQQI")  # magic, version, leader, epoch, generation, first LSN, cuts
_CUT = struct.Struct(">QQ")  # epoch, last LSN
_ENTRY = struct.Struct(">IQQQ16si")  # body length and kind, epoch, generation, LSN, topic id, partition
_ENTRY_AS_READ = struct.Struct(">IQQQ20s")  # the last two as one: a segment has few partitions and many entries
_PARTITION = struct.Struct(">16si")
_TAKE_OVER = 1 << 31

SEGMENT_FIXED_BYTES = _CRC.size + _SEGMENT.size
ENTRY_HEADER_BYTES = _CRC.size + _ENTRY.size

FENCE_VERSION = 0
_FENCE_MARK = struct.Struct(">8sHHIQI")  # magic, version, reserved, leader, epoch, CRC of the five
_FENCE_MAGIC = b"RAYLOGWF"
_FENCE_STRIDE_BYTES = 32
_FENCE_PLACES = 128
FENCE_BYTES = _FENCE_STRIDE_BYTES * _FENCE_PLACES


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    leader_id: LeaderId
    epoch: LogEpoch
    generation: int
    """Counts the segments that this epoch's writer has begun, recycled ones included: 1, 2, 3, …; 0: a claim."""
    first_lsn: Lsn
    cuts: Mapping[LogEpoch, Lsn] = field(default_factory=dict)
    """The older epochs that the writer recovered, each with the last LSN it took; an epoch not named here gave nothing."""

    def encode(self) -> bytes:
        """Padded to whole pages."""
        fixed = _SEGMENT.pack(
            _SEGMENT_MAGIC, VERSION, self.leader_id, self.epoch, self.generation, self.first_lsn, len(self.cuts)
        )
        content = fixed + b"".join(_CUT.pack(epoch, lsn) for epoch, lsn in sorted(self.cuts.items()))
        assert self.size_bytes <= HEADER_BYTES_MAX, f"{len(self.cuts)} earlier epochs have never been flushed"
        header = _CRC.pack(crc32c(content)) + content
        return header.ljust(segment_header_bytes(len(self.cuts)), b"\0")

    @property
    def size_bytes(self) -> int:
        return segment_header_bytes(len(self.cuts))


def segment_header_bytes(cut_count: int) -> int:
    used = SEGMENT_FIXED_BYTES + cut_count * _CUT.size
    return -(-used // HEADER_ALIGNMENT_BYTES) * HEADER_ALIGNMENT_BYTES


def decode_segment_header(data: Buffer) -> SegmentHeader | None:
    """The header at the start of ``data``; None when there is none (a spare segment, or a torn first write).

    Raises CorruptError when the segment was written by a newer format: reading on would lose its entries.
    """
    if len(data) < SEGMENT_FIXED_BYTES:
        return None
    (crc,) = _CRC.unpack_from(data)
    magic, version, leader, epoch, generation, first_lsn, cut_count = _SEGMENT.unpack_from(data, _CRC.size)
    end = SEGMENT_FIXED_BYTES + cut_count * _CUT.size
    if magic != _SEGMENT_MAGIC or end > len(data) or crc32c(memoryview(data)[_CRC.size : end]) != crc:
        return None
    if not _VERSION_WITHOUT_TAKE_OVERS <= version <= VERSION:
        raise NewerFormatError(
            f"It has format version {version}, but this Raylog reads 1 to {VERSION}: use a newer Raylog."
        )
    cuts = {
        LogEpoch(cut_epoch): Lsn(lsn) for cut_epoch, lsn in _CUT.iter_unpack(memoryview(data)[SEGMENT_FIXED_BYTES:end])
    }
    return SegmentHeader(
        leader_id=LeaderId(leader), epoch=LogEpoch(epoch), generation=generation, first_lsn=Lsn(first_lsn), cuts=cuts
    )


def entry_bytes(entry: WalEntry) -> int:
    """What the entry takes in a segment."""
    return ENTRY_HEADER_BYTES + entry.size_bytes


def encode_entry_header(entry: WalEntry, epoch: LogEpoch, generation: int) -> bytes:
    """What stands before the entry's parts; they are written by reference."""
    topic_id, partition = entry.partition
    length = entry.size_bytes | _TAKE_OVER if entry.is_take_over else entry.size_bytes
    head = _ENTRY.pack(length, epoch, generation, entry.lsn, topic_id.bytes, partition)
    crc = crc32c(head)
    for part in entry.parts:
        crc = crc32c(part, crc)
    return _CRC.pack(crc) + head


def decode_entries(data: Buffer, header: SegmentHeader, first_lsn: Lsn, position: int) -> Iterator[WalEntry]:
    """The entries of a segment, of which ``data`` is a part, from ``position`` in it and from ``first_lsn`` on, up to the first
    that is torn, corrupt or of another use of the file."""
    view = memoryview(data)
    lsn = first_lsn
    partitions: dict[bytes, TopicPartition] = {}
    while position + ENTRY_HEADER_BYTES <= len(view):
        (crc,) = _CRC.unpack_from(view, position)
        length, epoch, generation, entry_lsn, place = _ENTRY_AS_READ.unpack_from(view, position + _CRC.size)
        is_take_over, length = bool(length & _TAKE_OVER), length & ~_TAKE_OVER
        end = position + ENTRY_HEADER_BYTES + length
        if (epoch, generation, entry_lsn) != (header.epoch, header.generation, lsn) or end > len(view):
            return
        if crc32c(view[position + _CRC.size : end]) != crc:
            return
        body = bytes(view[position + ENTRY_HEADER_BYTES : end])
        partition = partitions.get(place)
        if partition is None:
            topic_id, number = _PARTITION.unpack(place)
            partition = partitions[place] = TopicPartition(TopicId(UUID(bytes=topic_id)), number)
        yield WalEntry(lsn, partition, (body,), length, is_take_over)
        position = end
        lsn = Lsn(lsn + 1)


def cut_off_entry_bytes(data: Buffer, header: SegmentHeader, lsn: Lsn, position: int) -> int:
    """The bytes of the entry at ``position`` if it is the segment's next and ends behind ``data``, else 0. Where its header does,
    the header's bytes."""
    if position + ENTRY_HEADER_BYTES > len(data):
        return ENTRY_HEADER_BYTES
    length, epoch, generation, entry_lsn, _, _ = _ENTRY.unpack_from(data, position + _CRC.size)
    size_bytes: int = ENTRY_HEADER_BYTES + (length & ~_TAKE_OVER)
    is_next = (epoch, generation, entry_lsn) == (header.epoch, header.generation, lsn)
    return size_bytes if is_next and position + size_bytes > len(data) else 0


def encode_fence_mark(leader_id: LeaderId, epoch: LogEpoch) -> tuple[int, bytes]:
    """The mark of an epoch, and its place in the fence file."""
    content = _FENCE_MARK.pack(_FENCE_MAGIC, FENCE_VERSION, 0, leader_id, epoch, 0)[: -_CRC.size]
    return epoch % _FENCE_PLACES * _FENCE_STRIDE_BYTES, content + _CRC.pack(crc32c(content))


def highest_fence_mark(data: Buffer, leader_id: LeaderId, *, below: LogEpoch | None = None) -> LogEpoch:
    """The highest epoch that holds the WAL; 0 when none does. A mark half written does not count yet.

    ``below``: of the epochs before that one. Raises CorruptError when a mark is another leader's, so that the folder is not this
    leader's WAL, or of a newer format.
    """
    highest = LogEpoch(0)
    view = memoryview(data)
    for place in range(0, len(view) - _FENCE_MARK.size + 1, _FENCE_STRIDE_BYTES):
        magic, version, _, leader, epoch, crc = _FENCE_MARK.unpack_from(view, place)
        if magic != _FENCE_MAGIC or crc32c(view[place : place + _FENCE_MARK.size - _CRC.size]) != crc:
            continue
        if version != FENCE_VERSION:
            raise NewerFormatError(
                f"The WAL's fence has a mark of version {version}, but this Raylog reads version {FENCE_VERSION}: use a newer "
                "Raylog."
            )
        if leader != leader_id:
            raise CorruptError(f"This WAL folder belongs to leader {leader}, not to leader {leader_id}.")
        if below is None or epoch < below:
            highest = max(highest, LogEpoch(epoch))
    return highest
