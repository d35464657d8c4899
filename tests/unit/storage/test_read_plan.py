"""The read plan's codec: what goes in comes out, and nothing else is taken for a plan."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.errors import CorruptError
from raylog.storage.read_plan import ObjectRange, ReadPlan, decode_read_plan, encode_read_plan

KEYS = st.sampled_from(["log/000000/data/00000000000000000001", "segments/ä", "k"])


@st.composite
def plans(draw: st.DrawFn) -> list[ObjectRange]:
    offset = 0
    ranges = []
    for _ in range(draw(st.integers(0, 8))):
        first = offset + draw(st.integers(0, 1 << 40))
        last = first + draw(st.integers(0, (1 << 32) - 1))
        position, size_bytes = draw(st.integers(0, 1 << 45)), draw(st.integers(1, (1 << 32) - 1))
        epoch = draw(st.sampled_from([-1, -1, 0, 2**31 - 1]))
        ranges.append(ObjectRange(draw(KEYS), position, size_bytes, first, last, epoch))
        offset = last + 1
    return ranges


@given(plans())
def test_a_plan_comes_back(ranges: list[ObjectRange]) -> None:
    assert decode_read_plan(encode_read_plan(ranges)) == tuple(ranges)


@given(plans(), st.data())
def test_a_truncated_plan_is_refused(ranges: list[ObjectRange], data: st.DataObject) -> None:
    encoded = encode_read_plan(ranges)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(CorruptError):
        decode_read_plan(encoded[:cut])


@given(st.binary(max_size=200))
def test_anything_else_is_refused_in_one_way(data: bytes) -> None:
    with contextlib.suppress(CorruptError):
        decode_read_plan(data)
    with contextlib.suppress(CorruptError):
        decode_read_plan(b"RLRP\x01" + data)
    with contextlib.suppress(CorruptError):
        decode_read_plan(b"RLRP\x02" + data)


def test_a_key_is_named_once_for_consecutive_ranges() -> None:
    one = encode_read_plan([ObjectRange("k" * 100, 0, 10, 0, 9)])
    two = encode_read_plan([ObjectRange("k" * 100, 0, 10, 0, 9), ObjectRange("k" * 100, 10, 10, 10, 19)])
    assert len(two) - len(one) == 26


@pytest.mark.parametrize(
    "ranges",
    [
        [ObjectRange("", 0, 1, 0, 0)],
        [ObjectRange("a", 0, 0, 0, 0)],
        [ObjectRange("a", 0, 1, 0, 5), ObjectRange("a", 1, 1, 5, 6)],
        [ObjectRange("a", 0, 1, -1, 5)],
    ],
    ids=["no key", "empty", "overlap", "negative offset"],
)
def test_impossible_ranges_are_refused(ranges: list[ObjectRange]) -> None:
    with pytest.raises(CorruptError, match="impossible range"):
        decode_read_plan(encode_read_plan(ranges))


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(CorruptError, match="reads 1 to 2"):
        decode_read_plan(b"RLRP\x03\x00\x00")


def test_a_plan_leads_on_from_where_its_reader_is() -> None:
    ranges = tuple(ObjectRange("o", 100 * n, 100, 10 * n, 10 * n + 4) for n in range(1, 5))
    plan = ReadPlan(ranges)
    assert len(plan) == 400
    for offset, first in ((10, 0), (14, 0), (15, 1), (20, 1), (27, 2), (44, 3)):
        onward = plan.onward(offset)
        assert onward is not None and onward.ranges == ranges[first:], offset
        assert onward.size_bytes == sum(at.size_bytes for at in ranges[first:])
    assert plan.onward(9) is None and plan.onward(45) is None
    assert ReadPlan(()).onward(0) is None


def test_ranges_that_follow_each_other_in_an_object_are_one() -> None:
    one = ObjectRange("o", 100, 50, 0, 4)
    assert one.joined(ObjectRange("o", 150, 70, 7, 9)) == ObjectRange("o", 100, 120, 0, 9)
    assert one.joined(ObjectRange("o", 151, 70, 7, 9)) is None
    assert one.joined(ObjectRange("p", 150, 70, 7, 9)) is None
    assert one.joined(ObjectRange("o", 150, 70, 7, 9, 3)) is None
    assert ObjectRange("o", 100, 50, 0, 4, 3).joined(ObjectRange("o", 150, 70, 7, 9)) is None
