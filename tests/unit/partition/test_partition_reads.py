"""What fetches, OffsetForLeaderEpoch and DeleteRecords see: bounds and errors."""

import pytest
from kio.schema.errors import ErrorCode

from raylog.model.ids import LeaderEpoch
from raylog.partition.config import PartitionConfig
from raylog.partition.outcomes import EpochEnd, FetchBounds, FetchDiverging

OUT_OF_RANGE = ErrorCode.offset_out_of_range


@pytest.fixture
def partition(lab):
    """Offsets 0 to 9 durable, 10 to 12 appended."""
    partition = lab.partition(epoch=3)
    lab.fill(partition, lab.batch(4), lab.batch(6))
    lab.append(partition, lab.batch(3))
    return partition


class TestFetch:
    def test_reads_up_to_the_high_watermark(self, partition):
        assert partition.fetch_start(0) == FetchBounds(0, 10, 10, 10, 0)

    def test_may_begin_inside_a_batch(self, partition):
        assert partition.fetch_start(2) == FetchBounds(2, 10, 10, 10, 0)

    def test_waits_at_the_high_watermark(self, partition):
        bounds = partition.fetch_start(10)
        assert bounds.offset == bounds.end_offset

    @pytest.mark.parametrize("offset", [-1, 11, 13, 14])
    def test_beyond_the_high_watermark_or_below_zero_is_out_of_range(self, partition, offset):
        assert partition.fetch_start(offset).error_code == OUT_OF_RANGE

    def test_below_the_log_start_is_out_of_range(self, partition):
        partition.log_start_durable(5)
        assert partition.fetch_start(4).error_code == OUT_OF_RANGE
        assert partition.fetch_start(5) == FetchBounds(5, 10, 10, 10, 5)

    def test_read_committed_without_transactions_reads_as_far(self, partition):
        assert partition.fetch_start(0, read_committed=True).end_offset == 10
        assert partition.aborted_transactions(0, 10) == ()

    def test_an_older_leader_epoch_is_fenced_and_a_newer_one_unknown(self, partition):
        assert partition.fetch_start(0, current_leader_epoch=2).error_code == ErrorCode.fenced_leader_epoch
        assert partition.fetch_start(0, current_leader_epoch=4).error_code == ErrorCode.unknown_leader_epoch
        assert isinstance(partition.fetch_start(0, current_leader_epoch=3), FetchBounds)


class TestDivergingEpoch:
    @pytest.fixture
    def partition(self, lab):
        """Epoch 1 has offsets 0 to 3, epoch 4 has 4 to 9."""
        bucket = lab.Bucket()
        first = lab.partition(epoch=1)
        bucket.write(lab.fill(first, lab.batch(4)))
        partition = lab.partition(epoch=None)
        bucket.replay_into(partition)
        partition.become_leader(LeaderEpoch(4))
        lab.fill(partition, lab.batch(6))
        return partition

    def test_a_fetcher_on_the_same_log_goes_on(self, partition):
        assert isinstance(partition.fetch_start(4, last_fetched_epoch=1), FetchBounds)
        assert isinstance(partition.fetch_start(10, last_fetched_epoch=4), FetchBounds)

    def test_a_fetcher_beyond_the_end_of_its_epoch_is_told_where_that_ended(self, partition):
        assert partition.fetch_start(6, last_fetched_epoch=1) == FetchDiverging(1, 4)

    def test_a_fetcher_with_an_epoch_that_never_was_is_told_the_one_below(self, partition):
        assert partition.fetch_start(4, last_fetched_epoch=3) == FetchDiverging(1, 4)

    def test_an_epoch_from_the_future_is_out_of_range(self, partition):
        assert partition.fetch_start(4, last_fetched_epoch=5).error_code == OUT_OF_RANGE

    def test_epochs_end_where_the_next_begins_and_the_last_at_the_high_watermark(self, lab, partition):
        lab.append(partition, lab.batch(2))
        assert partition.offset_for_leader_epoch(1) == EpochEnd(1, 4)
        assert partition.offset_for_leader_epoch(4) == EpochEnd(4, 10)
        assert partition.offset_for_leader_epoch(5) == EpochEnd(-1, -1)
        error = partition.offset_for_leader_epoch(1, current_leader_epoch=1)
        assert error.error_code == ErrorCode.fenced_leader_epoch


class TestDeleteRecords:
    def test_gives_the_new_log_start_and_changes_nothing_yet(self, partition):
        assert partition.delete_records(4) == 4
        assert partition.delete_records(-1) == 10
        assert partition.log_start_offset == 0

    def test_an_offset_below_the_log_start_gives_the_log_start(self, partition):
        partition.log_start_durable(5)
        assert partition.delete_records(3) == 5

    @pytest.mark.parametrize("offset", [-2, 11])
    def test_an_offset_that_is_not_in_the_log_is_out_of_range(self, partition, offset):
        assert partition.delete_records(offset).error_code == OUT_OF_RANGE

    def test_a_topic_that_is_only_compacted_refuses(self, partition):
        partition.config = PartitionConfig(compacted=True, deletable=False)
        assert partition.delete_records(4).error_code == ErrorCode.policy_violation

    def test_a_later_lower_offset_changes_nothing(self, partition):
        partition.log_start_durable(8)
        assert partition.log_start_durable(6) == []
        assert partition.log_start_offset == 8
        partition.validate()

    def test_rows_that_nothing_needs_any_more_are_given_back(self, lab):
        partition, bucket = lab.partition(), lab.Bucket()
        placed = lab.fill(partition, *[lab.batch(2) for _ in range(4)])
        lab.flush(partition, bucket, placed, row_bytes=1)
        assert [row.first_offset for row in partition.log_start_durable(5)] == [0, 2]
        partition.validate()

    def test_all_may_be_deleted_while_it_is_not_yet_flushed(self, lab):
        partition, bucket = lab.partition(), lab.Bucket()
        placed = lab.fill(partition, lab.batch(3), lab.batch(3))
        partition.log_start_durable(partition.delete_records(-1))
        partition.validate()
        lab.flush(partition, bucket, placed)
        assert len(partition.index) == 0
        assert partition.fetch_start(6) == FetchBounds(6, 6, 6, 6, 6)
