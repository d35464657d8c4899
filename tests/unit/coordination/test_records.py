"""Records of ``__consumer_offsets`` are those of Kafka's schemas, in every version that may lie in the topic."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.coordination.records import (
    CommittedOffset,
    GroupKey,
    OffsetKey,
    PersistedGroup,
    PersistedMember,
    decode_group,
    decode_key,
    decode_offset,
    encode_group,
    encode_group_key,
    encode_offset,
    encode_offset_key,
)
from raylog.model.errors import CorruptError

TEXT = st.text(max_size=20)
I32 = st.integers(-(2**31), 2**31 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
POSITIVE_I64 = st.integers(0, 2**63 - 1)

OFFSETS = st.one_of(
    st.builds(CommittedOffset, offset=I64, leader_epoch=I32, metadata=TEXT, commit_timestamp_ms=I64),
    st.builds(CommittedOffset, offset=I64, metadata=TEXT, commit_timestamp_ms=I64, expire_timestamp_ms=POSITIVE_I64),
    st.builds(
        CommittedOffset,
        offset=I64,
        leader_epoch=I32,
        metadata=TEXT,
        commit_timestamp_ms=I64,
        topic_id=st.uuids(),
    ),
)
MEMBERS = st.builds(
    PersistedMember,
    member_id=TEXT,
    group_instance_id=st.none() | TEXT,
    client_id=TEXT,
    client_host=TEXT,
    rebalance_timeout_ms=st.integers(0, 2**31 - 1),
    session_timeout_ms=I32,
    subscription=st.binary(max_size=20),
    assignment=st.binary(max_size=20),
)
GROUPS = st.builds(
    PersistedGroup,
    protocol_type=TEXT,
    generation=I32,
    protocol=st.none() | TEXT,
    leader=st.none() | TEXT,
    state_timestamp_ms=I64,
    members=st.lists(MEMBERS, max_size=3).map(tuple),
)


@given(OFFSETS)
def test_offsets_come_back(offset: CommittedOffset) -> None:
    assert decode_offset(encode_offset(offset)) == offset


@given(GROUPS)
def test_groups_come_back(group: PersistedGroup) -> None:
    assert decode_group(encode_group(group)) == group


@given(TEXT, TEXT, I32)
def test_keys_come_back(group_id: str, topic: str, partition: int) -> None:
    assert decode_key(encode_offset_key(group_id, topic, partition)) == OffsetKey(group_id, topic, partition)
    assert decode_key(encode_group_key(group_id)) == GroupKey(group_id)


def test_an_offset_key_byte_for_byte() -> None:
    assert encode_offset_key("g", "tt", 5).hex(" ") == "00 01 00 01 67 00 02 74 74 00 00 00 05"


def test_a_group_key_byte_for_byte() -> None:
    assert encode_group_key("g").hex(" ") == "00 02 00 01 67"


def test_offset_values_byte_for_byte() -> None:
    plain = CommittedOffset(offset=5, leader_epoch=7, metadata="m", commit_timestamp_ms=9)
    offset, epoch, timestamp = "00" * 7 + "05", "00" * 3 + "07", "00" * 7 + "09"
    assert encode_offset(plain).hex() == f"0004{offset}{epoch}026d{timestamp}00"
    with_id = CommittedOffset(offset=5, leader_epoch=7, metadata="m", commit_timestamp_ms=9, topic_id=UUID(int=1))
    # Version 4 is flexible: a compact string; one tagged field, number 0, of 16 bytes.
    assert encode_offset(with_id).hex() == f"0004{offset}{epoch}026d{timestamp}010010{'00' * 15}01"
    expiring = CommittedOffset(offset=5, metadata="m", commit_timestamp_ms=9, expire_timestamp_ms=11)
    assert encode_offset(expiring).hex() == f"0001{offset}00016d{timestamp}{'00' * 7}0b"


def test_a_group_value_byte_for_byte() -> None:
    member = PersistedMember(
        member_id="m",
        client_id="c",
        client_host="h",
        rebalance_timeout_ms=2,
        session_timeout_ms=3,
        subscription=b"s",
        assignment=b"",
    )
    group = PersistedGroup(
        protocol_type="consumer", generation=1, protocol="r", leader=None, state_timestamp_ms=4, members=(member,)
    )
    assert encode_group(group).hex(" ") == (
        "00 03 00 08 63 6f 6e 73 75 6d 65 72 00 00 00 01 00 01 72 ff ff 00 00 00 00 00 00 00 04 00 00 00 01 "
        "00 01 6d ff ff 00 01 63 00 01 68 00 00 00 02 00 00 00 03 00 00 00 01 73 00 00 00 00"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0000" + "00" * 7 + "05" + "00016d" + "00" * 7 + "09", {}),
        ("0001" + "00" * 7 + "05" + "00016d" + "00" * 7 + "09" + "00" * 7 + "0b", {"expire_timestamp_ms": 11}),
        ("0001" + "00" * 7 + "05" + "00016d" + "00" * 7 + "09" + "ff" * 8, {}),
        ("0002" + "00" * 7 + "05" + "00016d" + "00" * 7 + "09", {}),
        ("0003" + "00" * 7 + "05" + "00000007" + "00016d" + "00" * 7 + "09", {"leader_epoch": 7}),
        ("0004" + "00" * 7 + "05" + "00000007" + "026d" + "00" * 7 + "09" + "00", {"leader_epoch": 7}),
        ("0004" + "00" * 7 + "05" + "ffffffff" + "026d" + "00" * 7 + "09" + "010010" + "00" * 16, {}),
        ("0004" + "00" * 7 + "05" + "ffffffff" + "026d" + "00" * 7 + "09" + "010902abcd", {}),
    ],
)
def test_all_versions_of_offset_values_are_read(value: str, expected: dict[str, int]) -> None:
    assert decode_offset(bytes.fromhex(value)) == CommittedOffset(
        offset=5, metadata="m", commit_timestamp_ms=9, **expected
    )


@pytest.mark.parametrize("version", range(5))
def test_all_versions_of_group_values_are_read(version: int) -> None:
    def text(value: str) -> str:
        size = f"{len(value) + 1:02x}" if version >= 4 else f"{len(value):04x}"
        return size + value.encode().hex()

    null, tags = ("00", "00") if version >= 4 else ("ffff", "")
    count = "02" if version >= 4 else "00000001"
    data = f"{version:04x}{text('consumer')}00000001{text('r')}{null}"
    data += "00" * 7 + "04" if version >= 2 else ""
    data += count + text("m") + (null if version >= 3 else "") + text("c") + text("h")
    data += "00000002" if version >= 1 else ""
    data += "00000003" + ("0273" if version >= 4 else "0000000173") + ("01" if version >= 4 else "00000000") + tags * 2
    group = decode_group(bytes.fromhex(data))
    assert (group.protocol_type, group.generation, group.protocol, group.leader) == ("consumer", 1, "r", None)
    assert group.state_timestamp_ms == (4 if version >= 2 else -1)
    (member,) = group.members
    assert (member.member_id, member.client_id, member.client_host) == ("m", "c", "h")
    assert (member.rebalance_timeout_ms, member.session_timeout_ms) == (2 if version >= 1 else 3, 3)
    assert (member.subscription, member.assignment) == (b"s", b"")


def test_records_of_other_coordinators_are_told_apart() -> None:
    assert decode_key(b"\x00\x03\x00\x01g") is None  # ConsumerGroupMetadataKey (KIP-848)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_called_corrupt(data: bytes) -> None:
    for decode in (decode_key, decode_offset, decode_group):
        try:
            decode(data)
        except CorruptError as error:
            assert str(error)
