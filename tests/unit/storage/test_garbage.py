"""The plan of a sweep: what goes, and above all what never does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.ids import LeaderId
from raylog.storage.garbage import LogMark, Reason, plan_sweep
from raylog.storage.keys import (
    METADATA_PREFIX,
    ObjectKind,
    checkpoint_key,
    leader_prefix,
    object_name,
    segment_key,
    slot_key,
    upload_key,
)
from raylog.storage.object_store import ObjectMeta

GRACE_MS = 1000
NOW_MS = 1_000_000
OLD_MS = NOW_MS - GRACE_MS
YOUNG_MS = OLD_MS + 1
LOG = leader_prefix(LeaderId(1))


def listed(key: str, modified_ms: int = OLD_MS) -> ObjectMeta:
    return ObjectMeta(key=key, size=100, modified_ms=modified_ms)


def doomed(listing: list[ObjectMeta], marks: dict[str, LogMark]) -> dict[str, Reason]:
    return {d.key: d.reason for d in plan_sweep(listing, marks, now_ms=NOW_MS, grace_ms=GRACE_MS)}


def mark(checkpoint_slot: int, *slots: int) -> LogMark:
    return LogMark(checkpoint_slot=checkpoint_slot, references=frozenset(slot_key(LOG, slot) for slot in slots))


def test_slots_below_an_old_checkpoint_go_unless_a_row_points_into_them():
    listing = [*(listed(slot_key(LOG, slot)) for slot in range(1, 8)), listed(checkpoint_key(LOG, 5))]
    assert doomed(listing, {LOG: mark(5, 2, 4)}) == {slot_key(LOG, slot): Reason.UNREFERENCED_SLOT for slot in (1, 3)}


def test_a_young_checkpoint_frees_nothing_and_old_ones_below_it_go_once_it_is_old():
    slots = [listed(slot_key(LOG, slot)) for slot in range(1, 8)]
    young = [listed(checkpoint_key(LOG, 3)), listed(checkpoint_key(LOG, 5), YOUNG_MS)]
    assert set(doomed(slots + young, {LOG: mark(5)})) == {slot_key(LOG, 1), slot_key(LOG, 2)}
    old = [listed(checkpoint_key(LOG, 3)), listed(checkpoint_key(LOG, 5))]
    found = doomed(slots + old, {LOG: mark(5)})
    assert found[checkpoint_key(LOG, 3)] is Reason.OLD_CHECKPOINT
    assert set(found) == {checkpoint_key(LOG, 3), *(slot_key(LOG, slot) for slot in range(1, 5))}


def test_a_row_of_another_leaders_log_keeps_a_slot():
    other = leader_prefix(LeaderId(2))
    listing = [listed(slot_key(LOG, 1)), listed(slot_key(LOG, 2)), listed(checkpoint_key(LOG, 5))]
    marks = {LOG: mark(5), other: LogMark(checkpoint_slot=0, references=frozenset([slot_key(LOG, 1)]))}
    assert set(doomed(listing, marks)) == {slot_key(LOG, 2)}


def test_what_nobody_has_read_or_knows_stays():
    listing = [
        listed(slot_key(leader_prefix(LeaderId(2)), 1)),
        listed(checkpoint_key(leader_prefix(LeaderId(2)), 5)),
        listed("leaders/1/log/00000000000000000001"),
        listed("leaders/0000001/log/00000000000000000001"),
        listed("leaders/000001/log/1"),
        listed("segments/1"),
        listed("notes.txt"),
    ]
    assert doomed(listing, {LOG: mark(9)}) == {}


def test_the_metadata_log_and_self_tests_are_swept_too():
    listing = [
        listed(slot_key(METADATA_PREFIX, 1)),
        listed(slot_key(METADATA_PREFIX, 4)),
        listed(checkpoint_key(METADATA_PREFIX, 4)),
        listed("self-test/00ff/alone"),
        listed("self-test/00fe/alone", YOUNG_MS),
    ]
    assert doomed(listing, {METADATA_PREFIX: LogMark(checkpoint_slot=4)}) == {
        slot_key(METADATA_PREFIX, 1): Reason.UNREFERENCED_SLOT,
        "self-test/00ff/alone": Reason.SELF_TEST,
    }


def test_a_segment_goes_when_no_row_and_no_announcement_of_any_log_names_it():
    keys = [segment_key(number) for number in range(4)]
    listing = [*(listed(key) for key in keys), listed(segment_key(4), YOUNG_MS)]
    other = leader_prefix(LeaderId(2))
    marks = {
        LOG: LogMark(checkpoint_slot=0, references=frozenset([keys[0]])),
        other: LogMark(checkpoint_slot=0, references=frozenset([keys[1]]), announced=frozenset([keys[2]])),
    }
    assert doomed(listing, marks) == {keys[3]: Reason.UNREFERENCED_SEGMENT}


def test_an_upload_goes_when_it_is_old_and_no_row_of_any_log_points_into_it():
    keys = [upload_key(number) for number in range(3)]
    listing = [*(listed(key) for key in keys), listed(upload_key(3), YOUNG_MS)]
    other = leader_prefix(LeaderId(2))
    marks = {
        LOG: LogMark(checkpoint_slot=0, references=frozenset([keys[0]])),
        other: LogMark(checkpoint_slot=0, references=frozenset([keys[1]])),
    }
    assert doomed(listing, marks) == {keys[2]: Reason.UNREFERENCED_UPLOAD}


_LOGS = st.sampled_from([METADATA_PREFIX, LOG, leader_prefix(LeaderId(2)), "leaders/1/"])
_NUMBERS = st.integers(0, 12)
_KEYS = st.one_of(
    st.builds(slot_key, _LOGS, _NUMBERS),
    st.builds(checkpoint_key, _LOGS, _NUMBERS),
    st.builds(segment_key, _NUMBERS),
    st.builds(upload_key, _NUMBERS),
    st.sampled_from(["self-test/1/alone", "other", "leaders/000001/log/x"]),
)
_LISTINGS = st.dictionaries(_KEYS, st.integers(OLD_MS - 3, OLD_MS + 3), max_size=60)
_MARKS = st.dictionaries(
    _LOGS,
    st.builds(
        LogMark,
        checkpoint_slot=_NUMBERS,
        references=st.frozensets(_KEYS, max_size=8),
        announced=st.frozensets(_KEYS, max_size=4),
    ),
    max_size=4,
)


@given(_LISTINGS, _MARKS)
def test_nothing_that_is_needed_is_ever_doomed(ages: dict[str, int], marks: Any):
    listing = [listed(key, modified_ms) for key, modified_ms in sorted(ages.items())]
    gone = doomed(listing, marks)
    for key in gone:
        name = object_name(key)
        assert ages[key] <= OLD_MS
        assert all(key not in mark.references | mark.announced for mark in marks.values())
        assert name.kind is not ObjectKind.UNKNOWN
        if name.kind not in (ObjectKind.SELF_TEST, ObjectKind.SEGMENT, ObjectKind.UPLOAD):
            assert name.number < marks[name.log].checkpoint_slot, "the log still needs it to be replayed"
            covers = [
                object_name(other).number
                for other, modified_ms in ages.items()
                if modified_ms <= OLD_MS and other.startswith(f"{name.log}checkpoint/")
            ]
            assert name.number < max(covers), "an opener may need it as a fence"
    left = [found for found in listing if found.key not in gone]
    assert doomed(left, marks) == {}, "a second sweep finds nothing more"


@pytest.mark.parametrize("key", ["", "leaders/", "leaders/000001/", "metadata/log/", "metadata/log/" + "٣" * 20])
def test_keys_that_raylog_does_not_write_are_unknown(key):
    assert object_name(key).kind is ObjectKind.UNKNOWN
