"""The tail cache against a plain list: what it holds is right, and the budget is kept."""

from hypothesis import given
from hypothesis import strategies as st

from raylog.leader.tail_cache import PartitionTail, TailCache


def append(cache: TailCache, tail: PartitionTail, records: int, size: int) -> bytes:
    """A batch of ``records`` offsets and ``size`` bytes, in two parts."""
    data = bytes([tail.end_offset % 251]) * size
    cache.append(tail, tail.end_offset + records - 1, (data[: size // 2], data[size // 2 :]), size)
    return data


def test_reads_whole_batches_from_the_one_that_holds_the_offset() -> None:
    cache = TailCache(1000)
    tail = cache.open(10)
    batches = [append(cache, tail, 3, 20) for _ in range(4)]
    parts, size, end = tail.read(14, 22, 1000)
    assert (b"".join(parts), size, end) == (batches[1] + batches[2] + batches[3], 60, 22)
    parts, _, end = tail.read(14, 19, 1000)
    assert (b"".join(parts), end) == (batches[1] + batches[2], 19)
    parts, _, end = tail.read(10, 22, 45)
    assert (b"".join(parts), end) == (batches[0] + batches[1], 16)


def test_first_batch_comes_whatever_the_limit_only_where_asked() -> None:
    cache = TailCache(1000)
    tail = cache.open(0)
    batch = append(cache, tail, 1, 100)
    assert b"".join(tail.read(0, 1, 5)[0]) == batch
    assert tail.read(0, 1, 5, at_least_one=False) == ([], 0, 0)


def test_the_oldest_leave_whosever_they_are() -> None:
    cache = TailCache(100)
    one, other = cache.open(0), cache.open(0)
    for _ in range(5):
        append(cache, one, 1, 50)
        append(cache, other, 1, 50)
    assert cache.used_bytes == 100
    assert (one.start_offset, other.start_offset) == (4, 4)


def test_large_batches_after_many_small_ones_do_not_outgrow_the_budget() -> None:
    cache = TailCache(1000)
    tail = cache.open(0)
    for _ in range(1000):
        append(cache, tail, 1, 1)
    for _ in range(3):
        append(cache, tail, 1, 500)
        assert cache.used_bytes <= 1000 + 1000 // 8


def test_a_partition_that_skips_goes_on_behind_what_is_not_kept() -> None:
    cache = TailCache(10_000)
    other = cache.open(0)
    append(cache, other, 1, 10)
    tail = cache.open(0)
    for _ in range(1000):
        append(cache, tail, 1, 10)
        tail = cache.skip(tail, tail.end_offset + 3)
        assert (tail.start_offset, tail.end_offset, cache.used_bytes) == (tail.end_offset, tail.start_offset, 10)
        tail.validate()
    assert len(cache._in_order) <= 2 * 256 + 1, "what is let go is not kept count of for ever"
    kept = append(cache, tail, 2, 30)
    assert b"".join(tail.read(4000, 4002, 1000)[0]) == kept
    for _ in range(400):
        append(cache, other, 1, 100)
    assert cache.used_bytes <= 10_000 + 10_000 // 8


def test_closed_partition_gives_its_bytes_back() -> None:
    cache = TailCache(100)
    one, other = cache.open(0), cache.open(0)
    append(cache, one, 1, 80)
    append(cache, other, 1, 20)
    cache.close(one)
    assert cache.used_bytes == 20
    append(cache, other, 1, 90)
    assert (cache.used_bytes, other.start_offset) == (90, 1)


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 40)), max_size=60)


@given(STEPS, st.integers(0, 300))
def test_what_is_kept_is_what_was_appended(steps: list[tuple[int, int, int]], budget: int) -> None:
    cache = TailCache(budget)
    tails = [cache.open(7) for _ in range(3)]
    model: list[list[tuple[int, int, bytes]]] = [[] for _ in tails]
    for number, count, size in steps:
        tail = tails[number]
        first = tail.end_offset
        model[number].append((first, first + count - 1, append(cache, tail, count, size)))
        assert cache.used_bytes <= budget + budget // 8
        for each, batches in zip(tails, model, strict=True):
            each.validate()
            kept = [batch for batch in batches if batch[1] >= each.start_offset]
            for first, last, data in kept:
                parts, _, end = each.read(first, each.end_offset, 1)
                assert (b"".join(parts), end) == (data, last + 1)
            expected = sum(len(data) for *_, data in kept)
            assert each.available_bytes(each.start_offset, each.end_offset, 1 << 30) == expected
        assert cache.used_bytes == sum(t.available_bytes(t.start_offset, t.end_offset, 1 << 30) for t in tails)
