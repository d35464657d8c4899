"""The bucket's keys: fixed width, so that listings are in order, and read back strictly."""

import pytest

from raylog.model.errors import CorruptError
from raylog.storage.keys import (
    ObjectKind,
    checkpoint_key,
    leader_prefix,
    log_prefix,
    number_of,
    object_name,
    segment_key,
    slot_key,
    upload_key,
)
from raylog.storage.object_key import check_key


def test_keys_are_as_they_always_were():
    assert leader_prefix(7) == "leaders/000007/"
    assert slot_key("metadata/", 12) == "metadata/log/00000000000000000012"
    assert checkpoint_key(leader_prefix(7), 3) == "leaders/000007/checkpoint/00000000000000000003"
    assert segment_key(2**63 - 1) == "segments/09223372036854775807"
    assert upload_key(12) == "uploads/00000000000000000012"
    assert slot_key(leader_prefix(7), 3).startswith(log_prefix(leader_prefix(7)))


def test_keys_sort_by_number_and_every_store_takes_them():
    numbers = [0, 1, 9, 10, 99, 100, 10**9, 2**63]
    keys = [slot_key("metadata/", number) for number in numbers]
    assert keys == sorted(keys)
    assert [number_of(check_key(key)) for key in keys] == numbers


@pytest.mark.parametrize("key", ["metadata/log/12", "metadata/log/" + "x" * 20, "metadata/log/" + "²" * 20, ""])
def test_a_stray_object_among_slots_is_named(key):
    with pytest.raises(CorruptError, match="not named by a slot number"):
        number_of(key)


@pytest.mark.parametrize(("make", "kind"), [(segment_key, ObjectKind.SEGMENT), (upload_key, ObjectKind.UPLOAD)])
def test_a_segments_or_uploads_key_is_read_back(make, kind):
    name = object_name(make(2**62))
    assert (name.kind, name.number, name.log, name.leader_id) == (kind, 2**62, "", None)
