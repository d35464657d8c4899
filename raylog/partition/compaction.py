"""What to compact next: the index rows of a leader's partitions in, jobs out. Pure.

A *run* is what one object holds of a partition without a gap: its rows are neighbours in the index and in the object. A run of
``run_bytes_min`` is long enough and stays where it is. The others are merged, size-tiered: an object's level says how often
its batches have been rewritten (0: a slot of a leader log), and a job takes short runs of one level, of many partitions
at once, and makes one segment of the next level.

- **Slots** are taken oldest first, with all short runs in them, once these have ``segment_bytes``, or ``sources_max`` slots.
- **Segments** of one level are due once a partition has ``fan_in`` short runs in them. All short runs of these segments are taken
  then, of every partition, in the order of partitions, about ``segment_bytes`` a job. In a segment the short runs come
  first, in that order too: what a job needs of a source is one range of it, whatever the number of partitions.

The bounds that follow, with D bytes of a partition in the index, and nothing due:

- **Write amplification**: a byte is rewritten at most ``levels_max`` times, and no more once its run is long enough.
- **Read amplification**: what a catch-up reader of the partition reads is at most ``D / run_bytes_min`` long runs, one of each of
  ``sources_max`` slots, ``fan_in - 1`` of each level, and those of the last level. Of these there is one for
  ``fan_in ** (levels_max - 1)`` segments of the first level when the partition is written evenly. One whose batches are now
  large, now small has short runs that no neighbour can be merged with, but never more than there are segments of the first
  level and long runs. A segment of the first level stands for ``segment_bytes`` or ``sources_max`` slots of the whole leader.
- **Requests**: a job reads at most ``sources_max`` objects, each once in one request (a few, where runs are left out that are
  longer than ``GAP_BYTES_MAX``), and writes one. None of it depends on the number of partitions.

Rows of slots that the newest checkpoint does not cover are left alone, and so is what cannot be read (``avoid``).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.limits import CompactionLimits
from raylog.partition.offset_index import SEGMENT, IndexEntry, IndexSnapshot
from raylog.storage.segment import LEVEL_MAX, segment_level

GAP_BYTES_MAX: Final = 8 * 1024 * 1024
"""What lies between two runs of one object is read with them, up to so much."""

_SLOTS_MIN = 2
"""Fewer would be copied, not merged."""

ObjectId = tuple[int, int]
"""Source and number of an ``IndexEntry``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows of a partition that follow one another in its index: one run of the segment to come."""

    partition: TopicPartition
    rows: tuple[IndexEntry, ...]

    @property
    def size_bytes(self) -> int:
        return sum(row.size_bytes for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPlan:
    """One job: the batches of ``pieces``, in this order, make a segment of this level."""

    level: int
    pieces: tuple[Piece, ...]

    @property
    def sources(self) -> set[ObjectId]:
        """The objects that it reads."""
        return {(row.source, row.number) for piece in self.pieces for row in piece.rows}


class _Run(NamedTuple):
    """A short run, as a range of rows of its partition's index."""

    source: ObjectId
    level: int
    start: int
    end: int
    size_bytes: int


_Chosen = dict[TopicPartition, list[_Run]]


def plan_compaction(
    indexes: Mapping[TopicPartition, IndexSnapshot],
    *,
    leader_id: LeaderId,
    covered_slot: int,
    limits: CompactionLimits,
    avoid: Collection[ObjectId] = (),
) -> list[CompactionPlan]:
    """The jobs that are due, those that make the highest levels first. No two have a row in common.

    ``covered_slot``: rows of this leader's slots above it are not touched, nor are rows of the objects in ``avoid``.
    """
    levels: defaultdict[int, _Chosen] = defaultdict(dict)
    for partition in sorted(indexes):
        for run in _short_runs(indexes[partition], leader_id, covered_slot, limits):
            if run.source not in avoid:
                levels[run.level].setdefault(partition, []).append(run)
    plans = []
    for level in sorted(levels, reverse=True):
        jobs = _of_segments(levels[level], limits) if level else _of_slots(levels[level], limits)
        for chosen in jobs:
            pieces = [piece for partition, runs in chosen.items() for piece in _pieces(partition, runs, indexes)]
            # Short ones first: they are what is read again.
            pieces.sort(key=lambda piece: piece.size_bytes >= limits.run_bytes_min)
            plans.append(CompactionPlan(level=level + 1, pieces=tuple(pieces)))
    return plans


def _short_runs(
    index: IndexSnapshot, leader_id: LeaderId, covered_slot: int, limits: CompactionLimits
) -> Iterator[_Run]:
    """Those that may be merged, in the order of offsets, up to the first row that is not to be touched."""
    run_bytes_min, levels_max = limits.run_bytes_min, min(limits.levels_max, LEVEL_MAX)
    source: ObjectId | None = None
    level = start = size_bytes = next_position = end = 0
    for row, (held_by, number, position, row_bytes) in enumerate(zip(*index.columns[:4], strict=True)):
        if position != next_position or source != (held_by, number):
            if source is not None and size_bytes < run_bytes_min and level < levels_max:
                yield _Run(source, level, start, row, size_bytes)
            if held_by == leader_id and number > covered_slot:
                return
            source, start, size_bytes = (held_by, number), row, 0
            level = segment_level(number) if held_by == SEGMENT else 0
        size_bytes += row_bytes
        next_position = position + row_bytes
        end = row + 1
    if source is not None and size_bytes < run_bytes_min and level < levels_max:
        yield _Run(source, level, start, end, size_bytes)


def _of_slots(short: _Chosen, limits: CompactionLimits) -> Iterator[_Chosen]:
    """For each job the runs of its slots."""
    sizes: defaultdict[ObjectId, int] = defaultdict(int)
    for runs in short.values():
        for run in runs:
            sizes[run.source] += run.size_bytes
    jobs: list[list[ObjectId]] = []
    slots: list[ObjectId] = []
    total_bytes = 0
    for source in sorted(sizes):
        if len(slots) >= _SLOTS_MIN and total_bytes + sizes[source] > limits.segment_bytes:
            jobs.append(slots)
            slots, total_bytes = [], 0
        slots.append(source)
        total_bytes += sizes[source]
        if len(slots) == limits.sources_max:
            jobs.append(slots)
            slots, total_bytes = [], 0
    if len(slots) >= _SLOTS_MIN and total_bytes >= limits.segment_bytes:
        jobs.append(slots)
    chosen: list[_Chosen] = [{} for _ in jobs]
    job_of = {source: job for job, sources in zip(chosen, jobs, strict=True) for source in sources}
    for partition, runs in short.items():
        for run in runs:
            if (job := job_of.get(run.source)) is not None:
                job.setdefault(partition, []).append(run)
    yield from chosen


def _of_segments(short: _Chosen, limits: CompactionLimits) -> Iterator[_Chosen]:
    """For each job the runs of its partitions, of one level."""
    due = {run.source for runs in short.values() if len(runs) >= limits.fan_in for run in runs}
    chosen: _Chosen = {}
    sources: set[ObjectId] = set()
    total_bytes = 0
    for partition, runs in short.items():
        for run in runs:
            if run.source in due and (run.source in sources or len(sources) < limits.sources_max):
                sources.add(run.source)
                chosen.setdefault(partition, []).append(run)
                total_bytes += run.size_bytes
        if total_bytes >= limits.segment_bytes:
            yield chosen
            chosen, sources, total_bytes = {}, set(), 0
    if chosen:
        yield chosen


def _pieces(
    partition: TopicPartition, runs: Iterable[_Run], indexes: Mapping[TopicPartition, IndexSnapshot]
) -> Iterator[Piece]:
    """Runs that follow one another in the index are joined."""
    columns = indexes[partition].columns
    spans: list[tuple[int, int]] = []
    for run in runs:
        if spans and spans[-1][1] == run.start:
            spans[-1] = (spans[-1][0], run.end)
        else:
            spans.append((run.start, run.end))
    for start, end in spans:
        rows = zip(*(column[start:end] for column in columns), strict=True)
        yield Piece(partition=partition, rows=tuple(map(IndexEntry._make, rows)))
