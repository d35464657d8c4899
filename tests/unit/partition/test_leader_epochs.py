import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.partition.leader_epochs import UNKNOWN_EPOCH_END, LeaderEpochs
from raylog.partition.outcomes import EpochEnd


def test_an_epoch_ends_where_the_next_begins_and_the_latest_at_the_logs_end():
    epochs = LeaderEpochs([(1, 0), (4, 10), (5, 30)])
    assert epochs.end_of(1, 50) == EpochEnd(1, 10)
    assert epochs.end_of(4, 50) == EpochEnd(4, 30)
    assert epochs.end_of(5, 50) == EpochEnd(5, 50)


def test_an_epoch_without_records_is_answered_with_the_one_below_it():
    epochs = LeaderEpochs([(1, 0), (4, 10)])
    assert epochs.end_of(3, 50) == EpochEnd(1, 10)


def test_an_epoch_below_all_ends_where_the_first_begins():
    assert LeaderEpochs([(2, 7), (4, 10)]).end_of(1, 50) == EpochEnd(1, 7)


@pytest.mark.parametrize("epoch", [-1, 6])
def test_an_epoch_above_all_is_unknown(epoch):
    assert LeaderEpochs([(1, 0), (5, 10)]).end_of(epoch, 50) == UNKNOWN_EPOCH_END


def test_an_epoch_that_got_no_record_leaves_no_trace():
    epochs = LeaderEpochs([(1, 0), (2, 10), (3, 10)])
    assert epochs.entries() == ((1, 0), (3, 10))


def test_assigning_the_latest_epoch_again_changes_nothing():
    epochs = LeaderEpochs([(1, 0)])
    epochs.assign(1, 12)
    assert epochs.entries() == ((1, 0),)


def test_an_epoch_never_falls():
    epochs = LeaderEpochs([(3, 0)])
    with pytest.raises(AssertionError):
        epochs.assign(2, 10)


def test_trimming_moves_the_first_epoch_to_the_logs_start():
    epochs = LeaderEpochs([(1, 0), (2, 10), (3, 20)])
    epochs.trim(15)
    assert epochs.entries() == ((2, 15), (3, 20))
    assert epochs.epoch_at(14) == -1
    assert epochs.epoch_at(15) == 2


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=20), st.integers(0, 60))
def test_every_offset_keeps_its_epoch_through_trims(steps, log_start):
    epochs, by_offset, epoch = LeaderEpochs(), [], -1
    for rise, records in steps:
        epoch += rise
        epochs.assign(epoch, len(by_offset))
        by_offset += [epoch] * records
    epochs.trim(min(log_start, len(by_offset)))
    epochs.validate()
    for offset in range(log_start, len(by_offset)):
        assert epochs.epoch_at(offset) == by_offset[offset]
