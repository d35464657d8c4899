"""Appends: offsets, epochs, duplicates, timestamps, and what is refused."""

import pytest
from kio.schema.errors import ErrorCode

from raylog.partition.config import PartitionConfig
from raylog.partition.outcomes import Appended, Duplicate, RecordFault, Rejected
from raylog.protocol.batch import decode_records, has_valid_crc, headers

TRANSACTIONAL = 0x10


def test_offsets_continue_from_batch_to_batch(lab):
    partition = lab.partition(epoch=4)
    first, second = lab.append(partition, lab.batch(3)), lab.append(partition, lab.batch(2))
    assert (first.base_offset, first.last_offset) == (0, 2)
    assert (second.base_offset, second.last_offset) == (3, 4)
    assert partition.log_end_offset == 5


def test_the_log_holds_the_producers_bytes_with_offset_and_epoch_written_in(lab):
    partition = lab.partition(epoch=4)
    lab.append(partition, lab.batch(3))
    sent = lab.batch(2, value=b"x" * 10_000)
    placed = lab.append(partition, sent).batches
    stored = lab.joined(placed)
    (header,) = headers(stored)
    assert (header.base_offset, header.leader_epoch) == (3, 4)
    assert has_valid_crc(stored, header)
    assert stored[16:] == sent[16:]


def test_several_batches_of_a_request_lie_one_after_another(lab):
    partition = lab.partition()
    outcome = lab.append(partition, lab.batch(2), lab.batch(3))
    assert [(batch.base_offset, batch.last_offset) for batch in outcome.batches] == [(0, 1), (2, 4)]
    assert outcome.size_bytes == len(lab.joined(outcome.batches))
    assert outcome.answer_after == 5


def test_an_append_waits_for_its_own_records_to_be_durable(lab):
    partition = lab.partition()
    assert lab.append(partition, lab.batch(3)).answer_after == 3
    assert partition.high_watermark == 0


def test_the_high_watermark_never_falls_and_never_passes_the_end(lab):
    partition = lab.partition()
    lab.append(partition, lab.batch(3))
    partition.durable(2)
    for wrong in (1, 4):
        with pytest.raises(AssertionError):
            partition.durable(wrong)


def test_a_duplicate_is_answered_with_its_first_offsets_once_the_original_is_durable(lab):
    partition = lab.partition()
    batch = lab.batch(2, producer=(9, 0, 0))
    lab.append(partition, lab.batch(5))
    lab.append(partition, batch)
    again = lab.append(partition, batch)
    assert again == Duplicate(5, 6, -1)
    assert again.answer_after == 7
    assert partition.log_end_offset == 7


def test_a_duplicate_is_a_success_even_if_its_batch_would_be_refused_today(lab):
    partition = lab.partition()
    batch = lab.batch(2, producer=(9, 0, 0))
    lab.append(partition, batch)
    partition.config = PartitionConfig(max_message_bytes=10)
    assert isinstance(lab.append(partition, batch), Duplicate)


def test_a_sequence_error_waits_for_the_state_that_it_reveals(lab):
    partition = lab.partition()
    lab.append(partition, lab.batch(2, producer=(9, 0, 0)))
    rejected = lab.append(partition, lab.batch(2, producer=(9, 0, 5)))
    assert rejected.error_code == ErrorCode.out_of_order_sequence_number
    assert rejected.answer_after == 2
    assert partition.log_end_offset == 2


def test_an_old_epoch_is_refused(lab):
    partition = lab.partition()
    lab.append(partition, lab.batch(producer=(9, 2, 0)))
    assert lab.append(partition, lab.batch(producer=(9, 1, 1))).error_code == ErrorCode.invalid_producer_epoch


def test_an_idempotent_producer_sends_one_batch_at_a_time(lab):
    partition = lab.partition()
    outcome = lab.append(partition, lab.batch(producer=(9, 0, 0)), lab.batch(producer=(9, 0, 1)))
    assert outcome.error_code == ErrorCode.invalid_record
    assert partition.log_end_offset == 0


def test_a_transactional_batch_of_a_producer_that_began_no_transaction_is_refused(lab):
    partition = lab.partition()
    outcome = lab.append(partition, lab.batch(producer=(9, 0, 0), attributes=TRANSACTIONAL))
    assert outcome.error_code == ErrorCode.invalid_txn_state


def test_a_batch_above_max_message_bytes_is_refused_and_one_of_just_that_size_is_not(lab):
    batch = lab.batch(value=b"x" * 500)
    partition = lab.partition(config=PartitionConfig(max_message_bytes=len(batch)))
    assert isinstance(lab.append(partition, batch), Appended)
    partition.config = PartitionConfig(max_message_bytes=len(batch) - 1)
    assert lab.append(partition, batch).error_code == ErrorCode.message_too_large


def test_coordinators_batches_are_not_held_to_what_producers_are(lab):
    batch = lab.batch(value=b"x" * 500)
    partition = lab.partition(config=PartitionConfig(max_message_bytes=100))
    outcome = partition.append(batch, list(headers(batch)), now_ms=lab.now_ms, from_client=False)
    assert isinstance(outcome, Appended)


def test_a_refused_batch_changes_nothing(lab):
    partition = lab.partition(config=PartitionConfig(max_message_bytes=200))
    lab.append(partition, lab.batch(producer=(9, 0, 0)))
    before = partition.snapshot(), partition.log_end_offset, partition.tail.runs()
    good, large = lab.batch(1), lab.batch(1, value=b"x" * 300)
    assert isinstance(lab.append(partition, good, large), Rejected)
    assert isinstance(lab.append(partition, lab.batch(producer=(9, 0, 3))), Rejected)
    assert (partition.snapshot(), partition.log_end_offset, partition.tail.runs()) == before
    assert isinstance(lab.append(partition, lab.batch(producer=(9, 0, 1))), Appended)


class TestCreateTime:
    def test_the_producers_timestamps_are_kept(self, lab):
        outcome = lab.append(lab.partition(), lab.batch([lab.now_ms - 10**9, lab.now_ms]))
        assert outcome.log_append_time_ms == -1
        assert [r.timestamp_ms for r in decode_records(lab.joined(outcome.batches))] == [
            lab.now_ms - 10**9,
            lab.now_ms,
        ]

    def test_a_record_too_far_in_the_future_is_refused(self, lab):
        partition = lab.partition(config=PartitionConfig(timestamp_after_max_ms=100))
        assert isinstance(lab.append(partition, lab.batch([lab.now_ms + 100])), Appended)
        outcome = lab.append(partition, lab.batch([lab.now_ms, lab.now_ms + 101]))
        assert outcome.error_code == ErrorCode.invalid_timestamp
        assert outcome.answer_after == 0

    def test_a_record_too_far_in_the_past_is_refused_wherever_it_is_in_the_batch(self, lab):
        partition = lab.partition(config=PartitionConfig(timestamp_before_max_ms=100))
        assert isinstance(lab.append(partition, lab.batch([lab.now_ms - 100])), Appended)
        outcome = lab.append(partition, lab.batch([lab.now_ms, lab.now_ms - 101, lab.now_ms]))
        assert outcome.error_code == ErrorCode.invalid_timestamp
        assert [fault.batch_index for fault in outcome.record_faults] == [1]

    def test_a_record_without_a_timestamp_is_taken(self, lab):
        partition = lab.partition(config=PartitionConfig(timestamp_before_max_ms=100))
        assert isinstance(lab.append(partition, lab.batch([-1])), Appended)


class TestLogAppendTime:
    @pytest.fixture
    def partition(self, lab):
        return lab.partition(config=PartitionConfig(log_append_time=True))

    def test_every_record_shows_the_brokers_time(self, lab, partition):
        outcome = lab.append(partition, lab.batch([1, 2]), now_ms=5000)
        assert outcome.log_append_time_ms == 5000
        stored = lab.joined(outcome.batches)
        (header,) = headers(stored)
        assert has_valid_crc(stored, header)
        assert (header.base_offset, header.leader_epoch, header.max_timestamp_ms) == (0, 0, 5000)
        assert [record.timestamp_ms for record in decode_records(stored)] == [5000, 5000]
        assert outcome.batches[0].max_timestamp_ms == 5000

    def test_a_duplicate_shows_the_time_of_its_original(self, lab, partition):
        batch = lab.batch(producer=(9, 0, 0))
        lab.append(partition, batch, now_ms=5000)
        assert lab.append(partition, batch, now_ms=6000) == Duplicate(0, 0, 5000)

    def test_the_producers_timestamp_is_not_judged(self, lab, partition):
        assert isinstance(lab.append(partition, lab.batch([lab.now_ms * 2]), now_ms=5000), Appended)


class TestCompactedTopic:
    @pytest.fixture
    def partition(self, lab):
        return lab.partition(config=PartitionConfig(compacted=True))

    def test_records_without_a_key_are_refused_and_named(self, lab, partition):
        outcome = lab.append(partition, lab.batch(4, keys=[b"a", None, b"", None]))
        assert outcome.error_code == ErrorCode.invalid_record
        assert outcome.record_faults == (RecordFault(1, outcome.message), RecordFault(3, outcome.message))
        assert partition.log_end_offset == 0

    def test_keyed_records_are_taken_an_empty_key_included(self, lab, partition):
        assert isinstance(lab.append(partition, lab.batch(2, keys=[b"a", b""])), Appended)

    def test_records_that_cannot_be_read_are_refused(self, lab, partition):
        broken = bytearray(lab.batch(1))
        broken[61] = 0x7E  # the record's length
        assert lab.append(partition, bytes(broken)).error_code == ErrorCode.invalid_record

    def test_what_the_broker_writes_itself_is_not_looked_into(self, lab, partition):
        assert isinstance(lab.append(partition, lab.batch(1, keys=[None]), from_client=False), Appended)


def test_an_idle_producer_is_forgotten_after_the_configured_time(lab):
    partition = lab.partition(config=PartitionConfig(producer_id_expiration_ms=1000))
    lab.append(partition, lab.batch(producer=(9, 0, 0)))
    assert partition.expire_producers(lab.now_ms + 999) == 0
    assert partition.expire_producers(lab.now_ms + 1000) == 1
    assert isinstance(lab.append(partition, lab.batch(producer=(9, 0, 44))), Appended)
