import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from raylog.partition.list_offsets import MAX_TIMESTAMP, NO_SUCH_RECORD, LookInside, find_record, list_offset
from raylog.partition.outcomes import ListedOffset


class World:
    """A partition, its bucket and its tail: looks inside chunks as the shell does."""

    def __init__(self, lab, epoch=3):
        self.lab, self.bucket, self.partition = lab, lab.Bucket(), lab.partition(epoch=epoch)
        self.tail = []

    def append(self, *timestamps, durable=True):
        self.tail.extend(self.lab.append(self.partition, self.lab.batch(timestamps)).batches)
        if durable:
            self.partition.durable(self.partition.log_end_offset)

    def flush(self, row_bytes=200):
        self.lab.flush(self.partition, self.bucket, self.tail, row_bytes)
        self.tail = []

    def ask(self, spec, **options):
        found = list_offset(self.partition, spec, **options)
        while isinstance(found, LookInside):
            look = found
            found = find_record(look, [self.read(chunk) for chunk in look.chunks])
            if found is None and spec >= 0:
                found = list_offset(self.partition, spec, from_offset=look.next_offset, **options)
        return found

    def read(self, chunk):
        if chunk.entry is not None:
            return self.bucket.read(chunk.entry.number, chunk.entry.position, chunk.entry.size_bytes)
        batches = [b for b in self.tail if b.last_offset >= chunk.first_offset and b.base_offset <= chunk.last_offset]
        return self.lab.joined(batches)


@pytest.fixture
def world(lab):
    """Offsets 0-3 in a slot, 4-5 in the tail, 6 not durable."""
    world = World(lab)
    world.append(100, 300, 200)
    world.append(250)
    world.flush()
    world.append(400, 150)
    world.append(900, durable=False)
    return world


def test_latest_is_the_high_watermark_with_the_leader_epoch(world):
    assert world.ask(-1) == ListedOffset(-1, 6, 3)
    assert world.ask(-1, read_committed=True) == ListedOffset(-1, 6, 3)


@pytest.mark.parametrize("spec", [-2, -4])
def test_earliest_is_the_log_start(world, spec):
    assert world.ask(spec) == ListedOffset(-1, 0, 3)
    world.partition.log_start_durable(2)
    assert world.ask(spec) == ListedOffset(-1, 2, 3)


@pytest.mark.parametrize("spec", [-5, -6])
def test_nothing_is_tiered(world, spec):
    assert world.ask(spec) == NO_SUCH_RECORD


def test_an_unknown_spec_is_refused(world):
    assert world.ask(-7).error_code == ErrorCode.unsupported_version


def test_a_stale_leader_epoch_is_fenced(world):
    assert world.ask(-1, current_leader_epoch=2).error_code == ErrorCode.fenced_leader_epoch


@pytest.mark.parametrize(
    ("timestamp", "found"),
    [
        (0, ListedOffset(100, 0, 3)),
        (100, ListedOffset(100, 0, 3)),
        (101, ListedOffset(300, 1, 3)),
        (300, ListedOffset(300, 1, 3)),
        (301, ListedOffset(400, 4, 3)),
        (401, NO_SUCH_RECORD),
    ],
)
def test_a_timestamp_gives_the_first_durable_record_at_or_after_it(world, timestamp, found):
    assert world.ask(timestamp) == found


def test_the_highest_timestamp_is_that_of_a_durable_record(world):
    assert world.ask(MAX_TIMESTAMP) == ListedOffset(400, 4, 3)


def test_records_below_the_log_start_are_not_found(world):
    world.partition.log_start_durable(2)
    assert world.ask(250) == ListedOffset(250, 3, 3)
    world.partition.log_start_durable(5)
    assert world.ask(MAX_TIMESTAMP) == ListedOffset(150, 5, 3)
    assert world.ask(151) == NO_SUCH_RECORD


def test_an_empty_log_has_no_record(lab):
    world = World(lab)
    assert world.ask(0) == world.ask(MAX_TIMESTAMP) == NO_SUCH_RECORD
    assert world.ask(-2) == ListedOffset(-1, 0, 3)


def test_a_batch_that_nobody_can_uncompress_is_found_by_its_header(lab):
    world = World(lab)
    world.append(100)
    zstd_in_name_only = lab.batch([200, 300], attributes=4)
    world.tail.extend(lab.append(world.partition, zstd_in_name_only).batches)
    world.partition.durable(3)
    assert world.ask(150) == ListedOffset(300, 1, 3)
    assert world.ask(MAX_TIMESTAMP) == ListedOffset(300, 1, 3)


records = st.lists(st.lists(st.integers(-1, 20), min_size=1, max_size=4), max_size=12)


@given(data=st.data(), batches=records)
@settings(max_examples=150, deadline=None)
def test_listings_agree_with_a_scan_of_all_records(lab, data, batches):
    world, all_records = World(lab, epoch=0), []
    for timestamps in batches:
        world.append(*timestamps)
        all_records += timestamps
        if data.draw(st.integers(0, 3)) == 0:
            world.flush(data.draw(st.sampled_from([1, 200])))
    end = len(all_records)
    start = data.draw(st.integers(0, end))
    world.partition.log_start_durable(start)
    world.partition.validate()
    visible = [(offset, all_records[offset]) for offset in range(start, end)]
    for timestamp in range(22):
        first = next(((o, t) for o, t in visible if t >= timestamp), None)
        found = world.ask(timestamp)
        assert (found.offset, found.timestamp_ms) == (first or (-1, -1))
    newest = max((t for _, t in visible), default=-1)
    found = world.ask(MAX_TIMESTAMP) or NO_SUCH_RECORD
    assert found.timestamp_ms == newest
    if newest >= 0:
        assert (found.offset, newest) in visible
