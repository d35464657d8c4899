"""The planner, driven as a leader drives it: slots come, jobs are done, until nothing is due. Its bounds hold then."""

from collections import Counter, defaultdict
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylog.model.ids import LeaderId, TopicId, TopicPartition
from raylog.model.limits import CompactionLimits
from raylog.partition.compaction import CompactionPlan, plan_compaction
from raylog.partition.offset_index import SEGMENT, IndexEntry, OffsetIndex
from raylog.storage.segment import segment_level, segment_number

LEADER = LeaderId(1)
TOPIC = TopicId(UUID(int=5))
LIMITS = CompactionLimits(segment_bytes=4096, run_bytes_min=512, sources_max=8, fan_in=4, levels_max=3)


class Log:
    """A leader's indexes: every object's content is known, so that reading can be counted."""

    def __init__(self, limits: CompactionLimits = LIMITS) -> None:
        self.limits = limits
        self.indexes: dict[TopicPartition, OffsetIndex] = {}
        self.slot = self.slot_bytes_max = 0
        self.rewrites: Counter[tuple[TopicPartition, int]] = Counter()
        """How often the record of a partition's offset was rewritten."""
        self.jobs: list[CompactionPlan] = []
        self.first_level = 0
        self._rng = Random(1)

    def append(self, sizes: dict[int, int]) -> None:
        """A slot with a batch of so many bytes of each partition."""
        self.slot += 1
        position = 64
        for number, size in sizes.items():
            index = self.indexes.setdefault(TopicPartition(TOPIC, number), OffsetIndex())
            at = index.last_offset + 1
            index.append(IndexEntry(LEADER, self.slot, position, size, at, at, 0, 0, 1))
            position += size
        self.slot_bytes_max = max(self.slot_bytes_max, position)

    def plan(self, covered_slot: int | None = None, avoid=()) -> list[CompactionPlan]:
        return plan_compaction(
            {partition: index.snapshot() for partition, index in self.indexes.items()},
            leader_id=LEADER,
            covered_slot=self.slot if covered_slot is None else covered_slot,
            limits=self.limits,
            avoid=avoid,
        )

    def compact(self) -> None:
        """Until nothing is due."""
        while plans := self.plan():
            for plan in plans:
                self._do(plan)

    def runs(self, partition: TopicPartition) -> list[tuple[tuple[int, int], int]]:
        """Source and size of each range that a reader of the whole partition reads."""
        runs: list[tuple[tuple[int, int], int]] = []
        end = -1
        for row in self.indexes[partition]:
            source = (row.source, row.number)
            if runs and runs[-1][0] == source and end == row.position:
                runs[-1] = (source, runs[-1][1] + row.size_bytes)
            else:
                runs.append((source, row.size_bytes))
            end = row.position + row.size_bytes
        return runs

    def _do(self, plan: CompactionPlan) -> None:
        number = segment_number(plan.level, self._rng)
        self.jobs.append(plan)
        self.first_level += plan.level == 1
        position = 64
        for piece in plan.pieces:
            index = self.indexes[piece.partition]
            first, last = piece.rows[0].first_offset, piece.rows[-1].last_offset
            assert index.holds(first, last, piece.size_bytes, sum(row.record_count for row in piece.rows))
            whole = IndexEntry(SEGMENT, number, position, piece.size_bytes, first, last, 0, 0, last - first + 1)
            assert index.replace(first, last, [whole]) == list(piece.rows)
            index.validate()
            for offset in range(first, last + 1):
                self.rewrites[piece.partition, offset] += 1
            position += piece.size_bytes


def assert_bounds(log: Log) -> None:
    limits = log.limits
    assert max(log.rewrites.values(), default=0) <= limits.levels_max
    for partition, index in log.indexes.items():
        runs = log.runs(partition)
        levels = Counter(
            segment_level(n) if s == SEGMENT else 0 for (s, n), size in runs if size < limits.run_bytes_min
        )
        long_runs = sum(size >= limits.run_bytes_min for _, size in runs)
        last_level = levels.pop(limits.levels_max, 0)
        assert long_runs <= index.size_bytes / limits.run_bytes_min
        assert levels.pop(0, 0) <= limits.sources_max
        assert all(count < limits.fan_in for count in levels.values())
        assert last_level <= log.first_level + long_runs
    for job in log.jobs:
        assert len(job.sources) <= limits.sources_max
        size = sum(piece.size_bytes for piece in job.pieces)
        largest = limits.sources_max * limits.run_bytes_min  # the last partition of a job
        assert size <= max(limits.segment_bytes + largest, 2 * log.slot_bytes_max)


@pytest.mark.parametrize("partitions", [1, 3, 100, 1000])
def test_partitions_of_one_size_are_read_in_long_runs_whatever_their_number(partitions):
    log = Log(CompactionLimits(segment_bytes=64_000, run_bytes_min=256, sources_max=64, fan_in=8, levels_max=4))
    each = max(1, 8000 // partitions)
    for _ in range(200):
        log.append(dict.fromkeys(range(partitions), each))
        log.compact()
    assert_bounds(log)
    total = sum(index.size_bytes for index in log.indexes.values())
    for partition in log.indexes:
        last = [size for (_, number), size in log.runs(partition) if size < 256 and segment_level(max(number, 0)) == 4]
        assert len(last) <= 1 + log.first_level / 8**3
    sources = sum(len(job.sources) for job in log.jobs)
    rewritten = sum(piece.size_bytes for job in log.jobs for piece in job.pieces)
    assert rewritten <= 2 * total
    assert sources <= 2 * 200, "requests do not depend on the number of partitions"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    partitions=st.sampled_from([1, 2, 7, 40, 300]),
    slots=st.integers(1, 160),
    skew=st.sampled_from(["even", "one large", "geometric", "bursts"]),
    share=st.floats(0.05, 1.0),
)
def test_whatever_is_written_reading_and_rewriting_stay_within_bounds(seed, partitions, slots, skew, share):
    rng = Random(seed)
    log = Log()
    for _ in range(slots):
        sizes = {}
        for number in range(partitions):
            if rng.random() > share:
                continue
            match skew:
                case "even":
                    sizes[number] = 16
                case "one large":
                    sizes[number] = 2000 if number == 0 else 4
                case "geometric":
                    sizes[number] = max(1, 1024 >> (number % 12))
                case _:
                    sizes[number] = rng.choice((1, 1, 1, 1, 600))
        log.append(sizes)
        if rng.random() < 0.7:
            log.compact()
    log.compact()
    assert_bounds(log)


def test_what_has_long_runs_already_is_left_alone():
    log = Log()
    for _ in range(50):
        log.append({0: 512})
    assert log.plan() == []


def test_a_job_takes_the_short_runs_of_the_oldest_slots_those_that_stay_short_first():
    log = Log()
    for _ in range(8):
        log.append({2: 100, 0: 10, 1: 600})
    (job,) = log.plan()
    assert job.level == 1 and job.sources == {(LEADER, slot) for slot in range(1, 9)}
    assert [(piece.partition.partition, len(piece.rows)) for piece in job.pieces] == [(0, 8), (2, 8)]


def test_slots_that_no_checkpoint_covers_and_sources_to_avoid_are_not_touched():
    log = Log()
    for _ in range(8):
        log.append({0: 10, 1: 10})
    assert log.plan(covered_slot=7) == []
    assert log.plan(avoid={(LEADER, 3)}) == []
    log.append({0: 10})
    (job,) = log.plan(avoid={(LEADER, 3)})
    slots = [[row.number for row in piece.rows] for piece in job.pieces]
    assert slots == [[1, 2], [4, 5, 6, 7, 8, 9], [1, 2], [4, 5, 6, 7, 8]]


def test_rows_of_another_leaders_slots_are_compacted_too():
    log = Log()
    index = log.indexes.setdefault(TopicPartition(TOPIC, 0), OffsetIndex())
    for slot in range(4):
        index.append(IndexEntry(9, 100 + slot, 64, 10, slot, slot, 0, 0, 1))
    log.slot = 10
    for _ in range(4):
        log.append({0: 10})
    (job,) = log.plan(covered_slot=14)
    assert {source for source, _ in job.sources} == {LEADER, 9}


def test_a_set_of_segments_is_taken_apart_by_partitions():
    log = Log()
    for _ in range(16):
        log.append(dict.fromkeys(range(64), 30))
        log.compact()
    made = defaultdict(list)
    for job in log.jobs:
        made[job.level].append({piece.partition for piece in job.pieces})
    assert len(made[1]) >= 4
    first, second, *_ = made[2]
    assert not first & second and max(first) < min(second)
