"""The fold of a leader log: what a checkpoint keeps is what the slots said, wherever it is taken."""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.leader.checkpoint_format import decode_checkpoint_state, encode_checkpoint
from raylog.leader.handover_reader import as_released, source_of
from raylog.leader.log_state import LedSnapshot, LogSnapshot, LogState
from raylog.leader.releases import ReleasesSnapshot
from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderEpoch, LeaderId, LogEpoch, Lsn, ProducerId, TopicId, TopicPartition
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta, decode_meta, encode_meta
from raylog.storage.slot_events import (
    Adopt,
    HandOver,
    LogStart,
    Release,
    SegmentPut,
    SlotEvent,
    Swap,
    SwapPart,
    SwapRow,
    TakeOver,
    WalPosition,
)

LEADER = LeaderId(4)
PARTITIONS = [TopicPartition(TopicId(UUID(int=n // 2 + 1)), n % 2) for n in range(4)]


class Writer:
    """Makes the slots that a leader could write."""

    def __init__(self) -> None:
        self.slot = 0
        self.ends: dict[TopicPartition, int] = {}
        self.starts: dict[TopicPartition, int] = {}
        self.rows: dict[TopicPartition, list[IndexRow]] = {}
        self.left: dict[TopicPartition, tuple[int, int, int]] = {}
        """Handed over and not taken over again: the handover, and where the partition ended and began."""

    def next_slot(self, steps: Sequence[tuple[str, int, int]]) -> SlotMeta:
        self.slot += 1
        events: list[SlotEvent] = []
        index: list[IndexRow] = []
        producers: list[ProducerRow] = []
        touched: set[TopicPartition] = set()
        swapped: set[TopicPartition] = set()
        ends_before, starts_before = dict(self.ends), dict(self.starts)
        led_before, left_before = set(self.ends), set(self.left)
        position = 64
        for kind, number, count in steps:
            partition = PARTITIONS[number]
            if kind == "adopt" and partition not in self.ends and partition not in touched:
                self.ends[partition] = self.starts[partition] = 0
                self.rows[partition] = []
                self.left.pop(partition, None)
                events.append(
                    Adopt(partition=partition, epoch_base=-number, topic_name="t", configs={"retention.ms": "5"})
                )
            elif kind == "release" and partition in self.ends and partition not in touched:
                events.append(Release(partition=partition, end_offset=self.ends.pop(partition)))
            elif kind == "hand over" and partition in led_before & self.ends.keys() - swapped:
                # After the slot's batches, of which the partition may have some. Its handover was written before the slot.
                touched.add(partition)
                handover, end = 100 * self.slot + number, self.ends.pop(partition)
                self.left[partition] = (handover, end, self.starts[partition])
                events.append(
                    HandOver(
                        partition=partition,
                        end_offset=end,
                        epoch_base=-1,
                        handover=handover,
                        first_slot=self.slot,
                        handed_log_start_offset=starts_before[partition],
                        handed_end_offset=ends_before[partition],
                    )
                )
                events.append(WalPosition(epoch=1, lsn=self.slot))
            elif kind == "take over" and partition in left_before & self.left.keys() and partition not in touched:
                handover, self.ends[partition], self.starts[partition] = self.left.pop(partition)
                self.rows[partition] = []  # it swaps what comes from now on
                touched.add(partition)
                events.append(
                    TakeOver(partition=partition, epoch_base=0, topic_name="t", from_leader=9, handover=handover)
                )
            elif kind == "log start" and partition in self.ends and partition not in touched:
                touched.add(partition)
                self.starts[partition] = min(self.starts[partition] + count, self.ends[partition])
                events.append(LogStart(partition=partition, offset=self.starts[partition]))
            elif kind == "swap" and partition not in touched and len(self.rows.get(partition, ())) >= count:
                # Of the newest rows, or of some that are below the log start: then it has no effect.
                events.append(self._swap(partition, count, from_the_end=count % 2 == 1))
                swapped.add(partition)
            elif kind == "append" and partition in self.ends:
                touched.add(partition)
                first, last = self.ends[partition], self.ends[partition] + count - 1
                epoch = LeaderEpoch(self.slot // 10)
                self.ends[partition] = last + 1
                index.append(IndexRow(*partition, first, last, position, 10 * count, 1000 + last, count, epoch))
                self.rows[partition].append(index[-1])
                position += 10 * count
                producers.append(
                    ProducerRow(*partition, ProducerId(count), 0, first, last, first, last, timestamp_ms=7)
                )
        index.sort(key=lambda row: (PARTITIONS.index(TopicPartition(row.topic_id, row.partition)), row.first_offset))
        return decode_meta(encode_meta(SlotMeta(index=index, producers=producers, events=events)))

    def _swap(self, partition: TopicPartition, count: int, *, from_the_end: bool) -> Swap:
        """Of so many rows, to a segment of its own."""
        rows = self.rows[partition][-count:] if from_the_end else self.rows[partition][:count]
        fresh = [
            SwapRow(
                row.first_offset,
                row.last_offset,
                64 + n,
                row.size_bytes,
                row.max_timestamp_ms,
                row.record_count,
                row.leader_epoch,
            )
            for n, row in enumerate(rows)
        ]
        return Swap(segment=self.slot, parts=(SwapPart(partition, tuple(fresh)),))


def snapshots(state: LogState, as_of: dict[TopicPartition, int]) -> list[LedSnapshot]:
    return [
        LedSnapshot(
            partition=partition,
            topic_name=led.core.topic_name,
            epoch_base=led.epoch_base,
            configs=led.configs,
            as_of_slot=as_of[partition],
            state=led.core.snapshot(),
        )
        for partition, led in state.partitions.items()
    ]


def told(state: LogState) -> dict[TopicPartition, object]:
    found: dict[TopicPartition, object] = {}
    for partition, led in state.partitions.items():
        led.core.validate()
        state_of = led.core.snapshot()
        found[partition] = (
            led.epoch_base,
            led.configs,
            state_of.log_start_offset,
            state_of.end_offset,
            state_of.leader_epochs,
            state_of.producers,
            state_of.transactions,
            [list(column) for column in state_of.index.columns],
        )
    return found


STEP = st.tuples(
    st.sampled_from(["adopt", "append", "append", "log start", "release", "hand over", "take over", "swap", "swap"]),
    st.integers(0, 3),
    st.integers(1, 5),
)


@given(st.lists(st.lists(STEP, max_size=8), max_size=25), st.integers(0, 25), st.lists(st.integers(0, 4), min_size=4))
def test_recovery_from_any_checkpoint_equals_replay_of_all(
    steps: list[list[tuple[str, int, int]]], at: int, lags: list[int]
) -> None:
    """Each partition of the checkpoint is as of a slot of its own, at or after the checkpoint's, and may have come back."""
    writer = Writer()
    metas = [writer.next_slot(slot_steps) for slot_steps in steps]
    at = min(at, len(metas))
    whole = LogState(LEADER)
    taken: dict[TopicPartition, LedSnapshot] = {}
    due = {partition: min(at + lag, len(metas)) for partition, lag in zip(PARTITIONS, lags, strict=False)}
    listed: set[TopicPartition] = set()
    handed: dict[int, PartitionSnapshot] = {}
    releases = whole.releases.snapshot()
    for slot in range(len(metas) + 1):
        if slot:
            handed |= {
                event.handover: whole.partitions[event.partition].core.snapshot()
                for event in metas[slot - 1].events
                if isinstance(event, HandOver)
            }
            metas[slot - 1] = with_what_changed(metas[slot - 1], whole)
            apply(whole, slot, metas[slot - 1], handed)
        if slot == at:
            listed = set(whole.partitions)
        if slot == max(due.values()):
            releases = whole.releases.snapshot()
        for found in snapshots(whole, dict.fromkeys(PARTITIONS, slot)):
            if due[found.partition] == slot and found.partition in listed:
                taken[found.partition] = found
    checkpoint = decode_checkpoint_state(encode_checkpoint(list(taken.values()), releases))
    resumed = LogState(LEADER, checkpoint)
    for slot in range(at + 1, len(metas) + 1):
        apply(resumed, slot, metas[slot - 1], handed)
    assert told(resumed) == told(whole)
    assert resumed.releases.snapshot().first_slot == whole.releases.snapshot().first_slot
    assert resumed.releases.untold == whole.releases.untold


def with_what_changed(meta: SlotMeta, state: LogState) -> SlotMeta:
    """Take-overs as the target writes them: with what the source's log says of what changed after the handover."""
    untold = state.releases.untold
    events = [
        replace(event, changes=untold[event.partition].changes) if isinstance(event, TakeOver) else event
        for event in meta.events
    ]
    return decode_meta(encode_meta(replace(meta, events=events)))


def apply(state: LogState, slot: int, meta: SlotMeta, handed: dict[int, PartitionSnapshot]) -> None:
    begins = {
        event.partition: as_released(handed[event.handover], source_of(event)) for event in state.taken_over(meta)
    }
    state.apply(slot, meta, begins)


def test_a_release_comes_after_its_slots_batches_and_tells_what_changed_after_the_handover() -> None:
    writer = Writer()
    state = LogState(LEADER)
    state.apply(1, writer.next_slot([("adopt", 0, 1)]))
    state.apply(2, writer.next_slot([("append", 0, 3)]))
    state.apply(3, writer.next_slot([("append", 0, 2), ("hand over", 0, 1)]))
    [(partition, left)] = state.releases.untold.items()
    assert partition == PARTITIONS[0] and partition not in state.partitions and left.changes is not None
    assert (left.changes["end_offset"], [row[:2] for row in left.changes["rows"]]) == (5, [[LEADER, 3]])
    assert state.releases.has_had(LogEpoch(1), Lsn(3)) and not state.releases.has_had(LogEpoch(1), Lsn(4))
    assert state.releases.has_had(LogEpoch(0), Lsn(9)) and not state.releases.has_had(LogEpoch(2), Lsn(1))


def test_release_that_is_older_than_the_state_of_a_checkpoint_takes_nothing_from_it() -> None:
    writer = Writer()
    whole = LogState(LEADER)
    for slot, steps in enumerate([[("adopt", 0, 1)], [("release", 0, 1)], [("adopt", 0, 1), ("append", 0, 3)]], 1):
        whole.apply(slot, writer.next_slot(steps))
    resumed = LogState(LEADER, LogSnapshot(partitions=tuple(snapshots(whole, dict.fromkeys(PARTITIONS, 3)))))
    resumed.apply(2, SlotMeta(events=[Release(partition=PARTITIONS[0], end_offset=0)]))
    assert told(resumed) == told(whole)


def test_a_segment_is_announced_until_a_swap_names_it() -> None:
    state = LogState(LEADER)
    state.apply(1, SlotMeta(events=[SegmentPut(segment=5), SegmentPut(segment=6)]))
    assert state.announced == {5, 6}
    state.apply(2, SlotMeta(events=[Swap(segment=5, parts=())]))
    assert state.announced == {6}


def test_rows_that_leave_a_gap_are_corrupt() -> None:
    state = LogState(LEADER)
    partition = PARTITIONS[0]
    adopt = Adopt(partition=partition, epoch_base=0, topic_name="t")
    state.apply(1, SlotMeta(events=[adopt]))
    row = IndexRow(*partition, 3, 4, 64, 10, 0, 2, LeaderEpoch(0))
    with pytest.raises(CorruptError):
        state.apply(2, SlotMeta(index=[row]))


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 8, None])
def test_damaged_checkpoint_is_corrupt(damage: bytes | None) -> None:
    writer = Writer()
    state = LogState(LEADER)
    state.apply(1, writer.next_slot([("adopt", 0, 1), ("append", 0, 5)]))
    good = encode_checkpoint(snapshots(state, dict.fromkeys(PARTITIONS, 1)))
    with pytest.raises(CorruptError):
        decode_checkpoint_state(good[:-8] if damage is None else damage)


def test_newer_checkpoint_version_is_refused_with_a_remedy() -> None:
    data = bytearray(encode_checkpoint([]))
    data[5] = 99
    with pytest.raises(CorruptError, match="use a newer Raylog"):
        decode_checkpoint_state(bytes(data))


def test_checkpoint_from_before_there_were_moves_is_read() -> None:
    """Version 1: the head has the partitions alone."""
    writer = Writer()
    state = LogState(LEADER)
    state.apply(1, writer.next_slot([("adopt", 0, 1), ("append", 0, 5)]))
    data = encode_checkpoint(snapshots(state, dict.fromkeys(PARTITIONS, 1)))
    magic, _, reserved, head_bytes, *tables = struct.unpack_from(">4sHHIQQ", data)
    head = json.dumps(json.loads(data[28 : 28 + head_bytes])["partitions"]).encode()
    rest = data[28 + head_bytes + -head_bytes % 8 :]
    old = struct.pack(">4sHHIQQ", magic, 1, reserved, len(head), *tables) + head + b"\0" * (-len(head) % 8) + rest
    read = decode_checkpoint_state(old)
    assert read.releases == ReleasesSnapshot()
    assert told(LogState(LEADER, read)) == told(state)
