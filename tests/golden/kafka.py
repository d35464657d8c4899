"""The golden files of ``__consumer_offsets``: made by Kafka 4.1.1's own classes (``KafkaRecords.java``), in every version.

Raylog writes some of the versions, byte for byte the same, and reads all of them.
"""

from collections.abc import Callable
from dataclasses import replace

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
from tests.golden.golden import Golden, with_bytes
from tests.golden.partitions import ORDERS

GROUP = "gruppe-ä"
SECTION = "Records of `__consumer_offsets`"

OFFSET = CommittedOffset(offset=1 << 40, metadata="métadonnées", commit_timestamp_ms=1_700_000_000_000)
OFFSETS = [
    OFFSET,
    replace(OFFSET, expire_timestamp_ms=1_700_000_600_000),
    OFFSET,
    replace(OFFSET, leader_epoch=12),
    replace(OFFSET, leader_epoch=12, topic_id=ORDERS),
]
"""By version."""

_FIRST = PersistedMember(
    member_id="member-1",
    group_instance_id="instance-1",
    client_id="client",
    client_host="/10.0.0.1",
    rebalance_timeout_ms=300_000,
    session_timeout_ms=45_000,
    subscription=bytes([0, 1, 2]),
    assignment=bytes([3, 4]),
)
_SECOND = replace(_FIRST, member_id="member-2", group_instance_id=None, assignment=b"")


def _group(version: int) -> PersistedGroup:
    members = (_FIRST, _SECOND)
    if version < 3:
        members = tuple(replace(member, group_instance_id=None) for member in members)
    if version < 1:
        members = tuple(replace(member, rebalance_timeout_ms=member.session_timeout_ms) for member in members)
    return PersistedGroup(
        protocol_type="consumer",
        generation=3,
        protocol="range",
        leader="member-1",
        state_timestamp_ms=-1 if version < 2 else 1_700_000_000_001,
        members=members,
    )


def _offset_value(version: int) -> Golden:
    value = OFFSETS[version]
    return Golden(
        file=f"offset-commit-value-v{version}.bin",
        section=SECTION,
        read=decode_offset,
        value=value,
        write=(lambda: encode_offset(value)) if version in (1, 4) else None,
        newer=_NEWER,
    )


def _group_value(version: int) -> Golden:
    value = _group(version)
    return Golden(
        file=f"group-metadata-value-v{version}.bin",
        section=SECTION,
        read=decode_group,
        value=value,
        write=(lambda: encode_group(value)) if version == 3 else None,
        newer=_NEWER,
    )


_NEWER: dict[str, Callable[[bytes], bytes]] = {"value": lambda data: with_bytes(data, 0, b"\0\5")}

KAFKA = [
    # The number that begins a key says what the record is: one that is not known is none of these.
    Golden(
        file="offset-commit-key-v1.bin",
        section=SECTION,
        read=decode_key,
        value=OffsetKey(GROUP, "orders", 7),
        write=lambda: encode_offset_key(GROUP, "orders", 7),
        has_version=False,
    ),
    Golden(
        file="group-metadata-key-v2.bin",
        section=SECTION,
        read=decode_key,
        value=GroupKey(GROUP),
        write=lambda: encode_group_key(GROUP),
        has_version=False,
    ),
    *map(_offset_value, range(5)),
    *map(_group_value, range(5)),
]
