"""Recovery: slots, WAL and checkpoints bring back what was durable, and nothing else."""

import pytest

from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderEpoch
from raylog.partition.outcomes import Appended, Duplicate, EpochEnd, Rejected
from raylog.protocol.batch import headers


def replay_wal(partition, records, now_ms=0):
    return partition.replay_batches(records, headers(records), now_ms=now_ms)


@pytest.fixture
def bucket(lab):
    return lab.Bucket()


def test_slots_give_back_offsets_index_and_producers(lab, bucket):
    first = lab.partition(epoch=0)
    placed = lab.fill(first, lab.batch(3), lab.batch(2, producer=(9, 1, 0)))
    lab.flush(first, bucket, placed)
    second = lab.partition(epoch=None)
    bucket.replay_into(second)
    second.become_leader(LeaderEpoch(1))
    second.validate()
    assert (second.log_end_offset, second.high_watermark) == (5, 5)
    assert list(second.index) == list(first.index)
    assert lab.append(second, lab.batch(2, producer=(9, 1, 0))) == Duplicate(3, 4, -1)
    assert lab.append(second, lab.batch(2, producer=(9, 1, 2))).base_offset == 5
    assert isinstance(lab.append(second, lab.batch(2, producer=(9, 0, 4))), Rejected)


def test_the_wal_adds_what_no_slot_holds(lab, bucket):
    first = lab.partition(epoch=0)
    placed = lab.fill(first, lab.batch(3), lab.batch(2, producer=(9, 0, 0)), lab.batch(1))
    bucket.write(placed[:1])
    second = lab.partition(epoch=None)
    bucket.replay_into(second)
    found = replay_wal(second, lab.joined(placed))
    assert [batch.base_offset for batch in found] == [3, 5]
    assert lab.joined(found) == lab.joined(placed[1:])
    second.become_leader(LeaderEpoch(1))
    second.validate()
    assert (second.flushed_end_offset, second.high_watermark) == (3, 6)
    assert lab.append(second, lab.batch(2, producer=(9, 0, 0))) == Duplicate(3, 4, -1)
    lab.flush(second, bucket, found)
    assert second.flushed_end_offset == 6


def test_a_gap_in_slots_or_wal_is_corruption(lab, bucket):
    first = lab.partition(epoch=0)
    placed = lab.fill(first, lab.batch(3), lab.batch(2), lab.batch(1))
    bucket.write(placed[:1])
    bucket.write(placed[2:])
    with pytest.raises(CorruptError, match="offset 5, where 3"):
        bucket.replay_into(lab.partition(epoch=None))
    second = lab.partition(epoch=None)
    with pytest.raises(CorruptError, match="offset 3, where 0"):
        replay_wal(second, lab.joined(placed[1:]))


def test_a_checkpoint_is_the_state_of_the_slots_alone(lab, bucket):
    """A batch that only memory holds must not be remembered: after a crash its retry is no duplicate."""
    first = lab.partition(epoch=0)
    placed = lab.fill(first, lab.batch(2, producer=(9, 0, 0)))
    lab.flush(first, bucket, placed)
    lost = lab.batch(2, producer=(9, 0, 2))
    assert isinstance(lab.append(first, lost), Appended)
    second = lab.partition(epoch=1, snapshot=first.snapshot())
    second.validate()
    assert second.log_end_offset == 2
    assert lab.append(second, lost).base_offset == 2


def test_a_checkpoint_with_six_batches_above_it_still_knows_the_gap(lab, bucket):
    """The window of memory is full of batches above the checkpoint; the checkpoint's own window is not emptied by that."""
    first = lab.partition(epoch=0)
    lab.flush(first, bucket, lab.fill(first, *[lab.batch(producer=(9, 0, s)) for s in range(5)]))
    for sequence in range(5, 11):
        lab.append(first, lab.batch(producer=(9, 0, sequence)))
    second = lab.partition(epoch=1, snapshot=first.snapshot())
    assert isinstance(lab.append(second, lab.batch(producer=(9, 0, 11))), Rejected)
    assert isinstance(lab.append(second, lab.batch(producer=(9, 0, 4))), Duplicate)


def test_a_checkpoint_and_later_slots_equal_all_slots(lab, bucket):
    first = lab.partition(epoch=0)
    placed = lab.fill(first, *[lab.batch(n % 3 + 1, producer=(n % 2, 0, n // 2 * 9)) for n in range(2)])
    lab.flush(first, bucket, placed)
    checkpoint = first.snapshot()
    lab.flush(first, bucket, lab.fill(first, lab.batch(4), lab.batch(2, producer=(5, 0, 0))))
    from_checkpoint, from_slots = lab.partition(epoch=None, snapshot=checkpoint), lab.partition(epoch=None)
    bucket.replay_into(from_checkpoint, after=1)
    bucket.replay_into(from_slots)
    assert from_checkpoint.snapshot() == from_slots.snapshot() == first.snapshot()


def test_epochs_survive_with_the_records_that_they_brought(lab, bucket):
    partition = lab.partition(epoch=0)
    for epoch, count in ((0, 3), (1, 0), (2, 2)):
        if epoch:
            partition = lab.partition(epoch=None)
            bucket.replay_into(partition)
            partition.become_leader(LeaderEpoch(epoch))
        if count:
            lab.flush(partition, bucket, lab.fill(partition, lab.batch(count)))
    last = lab.partition(epoch=None)
    bucket.replay_into(last)
    last.become_leader(LeaderEpoch(7))
    assert last.offset_for_leader_epoch(0) == EpochEnd(0, 3)
    assert last.offset_for_leader_epoch(1) == EpochEnd(0, 3)
    assert last.offset_for_leader_epoch(2) == EpochEnd(2, 5)
    assert last.offset_for_leader_epoch(7) == EpochEnd(7, 5)


def test_a_leader_epoch_must_rise(lab, bucket):
    first = lab.partition(epoch=3)
    bucket.write(lab.fill(first, lab.batch(1)))
    second = lab.partition(epoch=None)
    bucket.replay_into(second)
    with pytest.raises(AssertionError):
        second.become_leader(LeaderEpoch(3))


def test_recovered_batches_keep_the_epoch_they_were_written_under(lab, bucket):
    first = lab.partition(epoch=3)
    placed = lab.fill(first, lab.batch(2))
    second = lab.partition(epoch=None)
    found = replay_wal(second, lab.joined(placed))
    second.become_leader(LeaderEpoch(5))
    found += tuple(lab.fill(second, lab.batch(2)))
    slot = lab.flush(second, bucket, found)
    assert [row.leader_epoch for row in slot.rows] == [3, 5]
    assert second.offset_for_leader_epoch(3) == EpochEnd(3, 2)


def test_the_log_start_comes_back_with_its_event(lab, bucket):
    first = lab.partition(epoch=0)
    placed = lab.fill(first, *[lab.batch(2) for _ in range(4)])
    lab.flush(first, bucket, placed[:3], row_bytes=1)
    bucket.write(placed[3:], log_start_offset=5)
    second = lab.partition(epoch=None)
    bucket.replay_into(second)
    second.become_leader(LeaderEpoch(1))
    second.validate()
    assert (second.log_start_offset, second.log_end_offset) == (5, 8)
    assert second.index.first_offset == 4


def test_a_log_start_above_what_slots_hold_waits_for_the_rows_below_it(lab, bucket):
    """DeleteRecords reached into the unflushed tail, and its event lies in the slot that brings that tail."""
    first = lab.partition(epoch=0)
    placed = lab.fill(first, *[lab.batch(2) for _ in range(4)])
    bucket.write(placed[:1])
    bucket.write(placed[1:], row_bytes=1, log_start_offset=5)
    second = lab.partition(epoch=None)
    bucket.replay_into(second)
    second.become_leader(LeaderEpoch(1))
    second.validate()
    assert (second.log_start_offset, second.log_end_offset) == (5, 8)
    assert second.index.first_offset == 4


class TestDeletedTailIsLost:
    """The WAL is gone, and with it the batches below the log start: their offsets are not given out again."""

    @pytest.fixture
    def lost(self, lab, bucket):
        bucket.write([], log_start_offset=6)
        partition = lab.partition(epoch=None)
        bucket.replay_into(partition)
        return partition

    def test_the_log_goes_on_at_its_start(self, lab, bucket, lost):
        lost.become_leader(LeaderEpoch(1))
        lost.validate()
        placed = lab.fill(lost, lab.batch(2))
        assert placed[0].base_offset == 6
        lab.flush(lost, bucket, placed)
        third = lab.partition(epoch=None)
        bucket.replay_into(third)
        third.become_leader(LeaderEpoch(2))
        third.validate()
        assert (third.log_start_offset, third.log_end_offset) == (6, 8)

    def test_also_from_the_wal(self, lab, bucket, lost):
        lost.become_leader(LeaderEpoch(1))
        placed = lab.fill(lost, lab.batch(2))
        third = lab.partition(epoch=None)
        bucket.replay_into(third)
        replay_wal(third, lab.joined(placed))
        third.become_leader(LeaderEpoch(2))
        third.validate()
        assert third.log_end_offset == 8


def test_log_append_time_comes_back_from_the_wal(lab):
    from raylog.partition.config import PartitionConfig

    config = PartitionConfig(log_append_time=True)
    first = lab.partition(config=config)
    batch = lab.batch(producer=(9, 0, 0))
    placed = lab.append(first, batch, now_ms=5000).batches
    second = lab.partition(epoch=None, config=config)
    replay_wal(second, lab.joined(placed), now_ms=9000)
    second.become_leader(LeaderEpoch(1))
    assert lab.append(second, batch, now_ms=9999) == Duplicate(0, 0, 5000)
