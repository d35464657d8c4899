from hypothesis import given
from hypothesis import strategies as st

from raylog.partition.tail import RUN_BYTES_MAX, Tail, TailRun

KIB = 1024


def test_small_batches_are_folded_into_one_run():
    tail = Tail()
    for offset in range(1000):
        tail.append(offset, offset, 5000 - offset, 100)
    assert tail.runs() == [TailRun(0, 999, 5000)]


def test_runs_do_not_grow_above_their_limit():
    tail = Tail()
    for offset in range(6):
        tail.append(offset, offset, offset, 128 * KIB)
    assert [run.max_timestamp_ms for run in tail.runs()] == [1, 3, 5]


def test_a_run_that_is_flushed_in_part_stays_cut():
    tail = Tail()
    for offset in range(10):
        tail.append(offset, offset, offset, 100)
    tail.flushed(4)
    assert tail.runs() == [TailRun(4, 9, 9)]
    tail.validate(4, 10)
    tail.flushed(10)
    assert tail.runs() == []
    tail.validate(10, 10)


@given(st.lists(st.one_of(st.integers(1, 300 * KIB), st.none()), max_size=60))
def test_the_tail_is_always_what_lies_between_flushed_and_appended(steps):
    tail, flushed, sizes = Tail(), 0, []
    for size in steps:
        if size is not None:
            tail.append(len(sizes), len(sizes), len(sizes), size)
            sizes.append(size)
        elif sizes:
            end = (flushed + len(sizes) + 1) // 2
            tail.flushed(end)
            flushed = end
        tail.validate(flushed, len(sizes))
        for run in tail.runs():
            size = sum(sizes[run.first_offset : run.last_offset + 1])
            assert size <= RUN_BYTES_MAX or run.first_offset == run.last_offset
            assert run.max_timestamp_ms >= run.last_offset
