"""What of a read plan is given: held to a plain reading of the rules, for any plan, offsets and limits."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gateway.planned_reads import Bounds, look_up, read_planned
from raylog.model.clock import SystemClock
from raylog.protocol.batch import Record, encode_batch, list_headers, read_header
from raylog.storage.block_cache import BlockCache
from raylog.storage.local_store import LocalStore
from raylog.storage.memory_store import MemoryStore
from raylog.storage.read_plan import ObjectRange, ReadPlan


def batches_of(counts_and_sizes):
    offset, batches = 0, []
    for count, size in counts_and_sizes:
        records = [Record(value=bytes(size), timestamp_ms=1) for _ in range(count)]
        batches.append(encode_batch(records, base_offset=offset))
        offset += count
    return batches


def most(batches, fetch_offset, end_offset, limit_bytes, has_to_give):
    """All the batches that may be given."""
    given_batches, total = [], 0
    for batch in batches:
        header = read_header(batch)
        if header.last_offset < fetch_offset:
            continue
        if header.base_offset >= end_offset:
            break
        if total + len(batch) > limit_bytes and (given_batches or not has_to_give):
            break
        given_batches.append(batch)
        total += len(batch)
    return given_batches


def whole_ranges_bytes(plan, fetch_offset, end_offset, limit_bytes):
    """Of the leading ranges that may be given whole: these have to be."""
    total = 0
    for at in plan:
        if at.last_offset < fetch_offset:
            continue
        if at.first_offset < fetch_offset or at.last_offset >= end_offset or total + at.size_bytes > limit_bytes:
            break
        total += at.size_bytes
    return total


@given(
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60)), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 4), min_size=12, max_size=12),
    fetch_offset=st.integers(0, 40),
    end_offset=st.integers(0, 50),
    limit_bytes=st.integers(0, 2000),
    has_to_give=st.booleans(),
    is_in_files=st.booleans(),
)
@example(
    shapes=[(1, 0)] * 5 + [(3, 0), (4, 0), (4, 0), (1, 0), (1, 0)],
    cuts=[1, 1, 1, 2, 4, 1, 1, 1, 1, 1, 1, 1],
    fetch_offset=16,
    end_offset=18,
    limit_bytes=136,
    has_to_give=False,
    is_in_files=False,
)
@example(
    shapes=[(2, 0), (1, 0)],
    cuts=[1] * 12,
    fetch_offset=1,
    end_offset=3,
    limit_bytes=68,
    has_to_give=False,
    is_in_files=False,
)
@example(
    shapes=[(1, 0)] * 3,
    cuts=[1, 2] + [1] * 10,
    fetch_offset=0,
    end_offset=2,
    limit_bytes=136,
    has_to_give=False,
    is_in_files=False,
)
@example(
    shapes=[(1, 0)],
    cuts=[1] * 12,
    fetch_offset=0,
    end_offset=1,
    limit_bytes=0,
    has_to_give=True,
    is_in_files=True,
)
async def test_whole_batches_within_offsets_and_limit(
    shapes, cuts, fetch_offset, end_offset, limit_bytes, has_to_give, is_in_files
):
    batches = batches_of(shapes)
    bounds = Bounds(fetch_offset, end_offset, limit_bytes, has_to_give)
    with TemporaryDirectory(prefix="raylog-test-") as folder:
        store = await LocalStore.open(Path(folder)) if is_in_files else MemoryStore(SystemClock())
        plan, position = [], 0
        for number, size in enumerate(cuts):
            run = batches[position : position + size]
            if not run:
                break
            body = b"head" + b"".join(run) + b"what others have there"
            await store.put(f"o/{number}", [body])
            first, last = read_header(run[0]).base_offset, read_header(run[-1]).last_offset
            plan.append(ObjectRange(f"o/{number}", 4, len(b"".join(run)), first, last))
            position += size
        cache = BlockCache(store, capacity_bytes=1 << 20, registry=CollectorRegistry(), block_bytes=64)
        context = SimpleNamespace(services=SimpleNamespace(block_cache=cache))
        found = look_up(context, ReadPlan(tuple(plan)), bounds)
        records = await read_planned(context, found, bounds)
        await cache.close()
        await store.close()
    given_bytes = records.join()
    may_be_given = most(batches[:position], fetch_offset, end_offset, limit_bytes, has_to_give)
    assert given_bytes in [b"".join(may_be_given[:count]) for count in range(len(may_be_given) + 1)]
    assert bool(given_bytes) == bool(may_be_given)
    assert len(given_bytes) >= whole_ranges_bytes(plan, fetch_offset, end_offset, limit_bytes)
    if found.all_at_hand() is not None:
        assert found.all_at_hand().join() == given_bytes
        assert (
            not given_bytes
            or found.end_offset == 1 + read_header(may_be_given[len(list_headers(given_bytes)) - 1]).last_offset
        )
