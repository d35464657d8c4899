from hypothesis import given
from hypothesis import strategies as st

from raylog.partition.outcomes import AbortedTransaction
from raylog.partition.transactions import Transactions


def test_the_oldest_open_transaction_bounds_what_is_stable():
    transactions = Transactions()
    assert transactions.first_unstable_offset() is None
    transactions.begin(1, 10)
    transactions.begin(2, 12)
    assert transactions.first_unstable_offset() == 10
    transactions.end(1, 15, committed=True)
    transactions.advance(16)
    assert transactions.first_unstable_offset() == 12


def test_a_marker_counts_once_it_is_durable():
    transactions = Transactions()
    transactions.begin(1, 10)
    transactions.end(1, 15, committed=True)
    transactions.advance(15)
    assert transactions.first_unstable_offset() == 10
    transactions.advance(16)
    assert transactions.first_unstable_offset() is None


def test_a_marker_without_a_transaction_changes_nothing():
    transactions = Transactions()
    transactions.end(1, 15, committed=False)
    assert transactions.first_unstable_offset() is None
    assert transactions.aborted(0, 100) == ()


def test_a_fetch_in_the_middle_of_an_aborted_transaction_is_told_of_it():
    transactions = Transactions()
    transactions.begin(1, 10)
    transactions.end(1, 20, committed=False)
    assert transactions.aborted(15, 18) == (AbortedTransaction(1, 10, 20, 21),)
    assert transactions.aborted(20, 30) == (AbortedTransaction(1, 10, 20, 21),)
    assert transactions.aborted(21, 30) == ()
    assert transactions.aborted(0, 10) == ()


def test_trimming_forgets_transactions_that_ended_below_the_logs_start():
    transactions = Transactions()
    for producer_id, first, last in ((1, 0, 5), (2, 6, 9)):
        transactions.begin(producer_id, first)
        transactions.end(producer_id, last, committed=False)
    transactions.trim(6)
    assert [aborted.producer_id for aborted in transactions.aborted(0, 100)] == [2]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["data", "commit", "abort"])), max_size=40))
def test_aborted_transactions_are_those_that_overlap_the_fetch(steps):
    """Against a list of all transactions, each of which a naive reader would look at."""
    transactions, first, ended = Transactions(), {}, []
    for offset, (producer_id, step) in enumerate(steps):
        if step == "data":
            if producer_id not in first:
                transactions.begin(producer_id, offset)
                first[producer_id] = offset
        elif producer_id in first:
            begun = first.pop(producer_id)
            transactions.end(producer_id, offset, committed=step == "commit")
            if step == "abort":
                ended.append((producer_id, begun, offset))
        transactions.validate(offset + 1)
    end = len(steps)
    transactions.advance(end)
    stable = min(first.values(), default=end)
    assert (end if first == {} else transactions.first_unstable_offset()) == stable
    restored = Transactions(transactions.snapshot())
    for start in range(0, end, 3):
        for stop in range(start, stable + 1, 2):
            wanted = {t for t in ended if t[2] >= start and t[1] < stop}
            found = {t[:3] for t in restored.aborted(start, stop)}
            assert wanted <= found <= set(ended)
