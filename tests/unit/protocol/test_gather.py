"""What is written comes out in order; what is large comes out as itself."""

from hypothesis import given
from hypothesis import strategies as st

from raylog.model.buffers import Buffer
from raylog.protocol.gather import BY_REFERENCE_BYTES, GatherBuffer, RecordsParts

_size = st.one_of(st.integers(0, 50), st.integers(BY_REFERENCE_BYTES - 2, BY_REFERENCE_BYTES + 2))
_buffer = _size.map(lambda size: bytes(i % 251 for i in range(size)))
_wrapped = st.builds(lambda wrap, data: wrap(data), st.sampled_from([bytes, bytearray, memoryview]), _buffer)


@given(st.lists(st.one_of(_wrapped, st.lists(_wrapped, max_size=4).map(RecordsParts)), max_size=8))
def test_writes_come_out_in_order(writes: list[Buffer | RecordsParts]) -> None:
    gathered = GatherBuffer()
    for data in writes:
        gathered.write(data)
    expected = b"".join(data.join() if isinstance(data, RecordsParts) else bytes(data) for data in writes)
    assert len(gathered) == len(expected)
    assert b"".join(gathered.finish()) == expected
    assert len(gathered) == len(expected)


def test_large_buffers_are_the_same_objects() -> None:
    large, view = bytes(BY_REFERENCE_BYTES), memoryview(bytes(BY_REFERENCE_BYTES + 1))
    gathered = GatherBuffer()
    for data in (b"a", large, b"b", b"c", RecordsParts([b"d", view]), b"e"):
        gathered.write(data)
    buffers = gathered.finish()
    assert [bytes(buffer) for buffer in buffers] == [b"a", large, b"bcd", bytes(view), b"e"]
    assert buffers[1] is large
    assert buffers[3] is view


def test_a_small_buffer_may_change_after_it_was_written() -> None:
    changing = bytearray(b"abc")
    gathered = GatherBuffer()
    gathered.write(changing)
    changing[:] = b"xyz"
    assert b"".join(gathered.finish()) == b"abc"


def test_records_parts_know_their_size() -> None:
    parts = RecordsParts([b"ab", memoryview(b"cde")])
    parts.extend([b"f"])
    assert len(parts) == 6
    assert parts.join() == b"abcdef"
    assert [bytes(part) for part in parts] == [b"ab", b"cde", b"f"]
    assert len(RecordsParts()) == 0
