import pytest
from kio.schema.errors import ErrorCode

from raylog.partition.producer_state import ProducerBatch, ProducerStates, SequenceFault
from raylog.protocol.batch import headers

LIMIT = 2**31
OUT_OF_ORDER = ErrorCode.out_of_order_sequence_number


@pytest.fixture
def header(lab):
    def make(first, count=1, epoch=0, producer_id=9):
        found = next(headers(lab.batch(producer=(producer_id, epoch, first))))
        return found._replace(last_offset_delta=count - 1, record_count=count)

    return make


@pytest.fixture
def states():
    return ProducerStates(entries_max=3)


def send(states, header, base_offset, timestamp_ms=0):
    assert states.check(header) is None
    last_offset = base_offset + header.last_offset_delta
    batch = ProducerBatch(header.base_sequence, header.last_sequence, base_offset, last_offset, timestamp_ms)
    states.record(header.producer_id, header.producer_epoch, batch)
    states.validate(last_offset + 1)
    return batch


def fault(states, header):
    found = states.check(header)
    assert isinstance(found, SequenceFault)
    return found.error_code


@pytest.mark.parametrize("first", [0, 5, LIMIT - 1])
def test_an_unknown_producer_begins_at_any_sequence(states, header, first):
    send(states, header(first), 0)


def test_each_of_the_last_five_batches_is_known_as_a_duplicate_and_older_ones_are_not(states, header):
    sent = [send(states, header(sequence * 2, count=2), sequence * 2) for sequence in range(7)]
    assert [states.check(header(sequence * 2, count=2)) for sequence in range(2, 7)] == sent[2:]
    assert fault(states, header(2, count=2)) == OUT_OF_ORDER


def test_a_batch_that_begins_like_an_earlier_one_but_ends_elsewhere_is_no_duplicate(states, header):
    send(states, header(0, count=3), 0)
    assert fault(states, header(0, count=2)) == OUT_OF_ORDER


@pytest.mark.parametrize("first", [4, 2, 1])
def test_a_gap_or_an_overlap_is_out_of_order(states, header, first):
    send(states, header(0, count=3), 0)
    assert fault(states, header(first)) == OUT_OF_ORDER


def test_the_sequence_goes_from_the_highest_on_to_zero(states, header):
    send(states, header(LIMIT - 2, count=2), 0)
    send(states, header(0), 2)
    assert fault(states, header(LIMIT - 1)) == OUT_OF_ORDER


def test_a_batch_may_reach_over_the_highest_sequence(states, header):
    sent = send(states, header(LIMIT - 2, count=4), 0)
    assert sent.last_sequence == 1
    assert states.check(header(LIMIT - 2, count=4)) == sent
    send(states, header(2), 4)


def test_an_older_epoch_is_refused_even_if_its_sequence_would_be_next(states, header):
    send(states, header(0, epoch=3), 0)
    assert fault(states, header(1, epoch=2)) == ErrorCode.invalid_producer_epoch


def test_a_new_epoch_begins_at_zero_and_forgets_the_old_batches(states, header):
    send(states, header(0), 0)
    send(states, header(1, count=2), 1)
    assert fault(states, header(3, epoch=1)) == OUT_OF_ORDER
    sent = send(states, header(0, epoch=1), 3)
    assert states.check(header(0, epoch=1)) == sent
    send(states, header(1, epoch=1), 4)
    assert fault(states, header(1, count=2, epoch=1)) == OUT_OF_ORDER


def test_producers_do_not_see_each_other(states, header):
    send(states, header(0, producer_id=1), 0)
    send(states, header(40, producer_id=2), 1)
    send(states, header(1, producer_id=1), 2)


def test_an_idle_producer_is_forgotten_and_may_begin_anew(states, header):
    send(states, header(0, producer_id=1), 0, timestamp_ms=100)
    send(states, header(0, producer_id=2), 1, timestamp_ms=150)
    assert states.expire(now_ms=200, expiration_ms=100) == 1
    assert states.get(1) is None
    send(states, header(77, producer_id=1), 2)
    assert fault(states, header(9, producer_id=2)) == OUT_OF_ORDER


def test_a_producer_with_an_open_transaction_is_not_forgotten(states, header):
    send(states, header(0), 0)
    states.get(9).transaction_first_offset = 0
    assert states.expire(now_ms=10**12, expiration_ms=1) == 0


def test_above_the_limit_the_longest_idle_producer_goes(states, header):
    for producer_id in (1, 2, 3):
        send(states, header(0, producer_id=producer_id), producer_id)
    send(states, header(1, producer_id=1), 4)
    send(states, header(0, producer_id=4), 5)
    assert len(states) == 3
    assert states.get(2) is None and states.get(1) is not None


def test_a_snapshot_keeps_windows_epochs_and_order(states, header):
    for sequence in range(6):
        send(states, header(sequence, producer_id=1), sequence)
    send(states, header(3, producer_id=2, epoch=5), 6)
    states.get(2).coordinator_epoch = 8
    states.get(2).transaction_first_offset = 6
    restored = ProducerStates(entries_max=3)
    restored.restore(states.snapshot())
    assert restored.snapshot() == states.snapshot()
    assert fault(restored, header(9, producer_id=1)) == OUT_OF_ORDER
