"""The records of ``__consumer_offsets``, byte for byte as Kafka writes them, so that its tools can read the topic.

Key: i16 kind, then for a committed offset (kinds 0 and 1) group, topic, partition; for a group (kind 2) group. Value: i16
version, then the fields; versions from 4 are flexible (compact strings, tagged fields). No value: a tombstone.

Written here, as Kafka 4.1 does: OffsetCommitValue v1 with an explicit expiry, else v4, with the topic's id as tagged field 0;
GroupMetadataValue v3. Read: OffsetCommitValue v0 to v4, GroupMetadataValue v0 to v4. Kinds that are not known (newer group
types, KIP-848) are told apart from these and left alone.
"""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from raylog.coordination.primitives import Reader, Writer
from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import TopicId

_OFFSET_KINDS = (0, 1)
_OFFSET_KIND = 1
_GROUP_KIND = 2
_GROUP_VALUE_VERSION = 3
_TOPIC_ID_TAG = 0


class OffsetKey(NamedTuple):
    group_id: str
    topic: str
    partition: int


class GroupKey(NamedTuple):
    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedOffset:
    """An offset that a group has committed: OffsetCommitValue."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""
    commit_timestamp_ms: int
    expire_timestamp_ms: int | None = None
    """Set when the client asked for a retention of its own."""
    topic_id: TopicId | None = None
    """The topic that was meant, should its name be used again; None when the committer's version did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistedMember:
    member_id: str
    group_instance_id: str | None = None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistedGroup:
    """A generation of a group: GroupMetadataValue."""

    protocol_type: str
    generation: int
    protocol: str | None
    leader: str | None
    state_timestamp_ms: int = -1
    members: tuple[PersistedMember, ...] = ()


def encode_offset_key(group_id: str, topic: str, partition: int) -> bytes:
    return Writer().i16(_OFFSET_KIND).string(group_id).string(topic).i32(partition).done()


def encode_group_key(group_id: str) -> bytes:
    return Writer().i16(_GROUP_KIND).string(group_id).done()


def decode_key(key: bytes) -> OffsetKey | GroupKey | None:
    """None for a kind of record that this coordinator does not keep. Raises CorruptError."""
    reader = Reader(key)
    kind = reader.i16()
    if kind in _OFFSET_KINDS:
        return OffsetKey(reader.string(), reader.string(), reader.i32())
    if kind == _GROUP_KIND:
        return GroupKey(reader.string())
    return None


def encode_offset(value: CommittedOffset) -> bytes:
    if value.expire_timestamp_ms is not None:
        writer = Writer().i16(1).i64(value.offset).string(value.metadata)
        return writer.i64(value.commit_timestamp_ms).i64(value.expire_timestamp_ms).done()
    tags = {} if value.topic_id is None else {_TOPIC_ID_TAG: value.topic_id.bytes}
    writer = Writer().i16(4).i64(value.offset).i32(value.leader_epoch).compact_string(value.metadata)
    return writer.i64(value.commit_timestamp_ms).tags(tags).done()


def decode_offset(value: bytes) -> CommittedOffset:
    """Raises CorruptError."""
    reader = Reader(value)
    version = _version(reader, "OffsetCommitValue")
    offset = reader.i64()
    leader_epoch = reader.i32() if version >= 3 else -1
    metadata = reader.compact_string() if version >= 4 else reader.string()
    commit_timestamp_ms = reader.i64()
    expire_timestamp_ms = reader.i64() if version == 1 else -1
    topic_id = reader.tags().get(_TOPIC_ID_TAG) if version >= 4 else None
    return CommittedOffset(
        offset=offset,
        leader_epoch=leader_epoch,
        metadata=metadata,
        commit_timestamp_ms=commit_timestamp_ms,
        expire_timestamp_ms=None if expire_timestamp_ms < 0 else expire_timestamp_ms,
        topic_id=None if topic_id is None else _topic_id(topic_id),
    )


def encode_group(value: PersistedGroup) -> bytes:
    writer = Writer().i16(_GROUP_VALUE_VERSION).string(value.protocol_type).i32(value.generation)
    writer.nullable_string(value.protocol).nullable_string(value.leader).i64(value.state_timestamp_ms)
    writer.i32(len(value.members))
    for member in value.members:
        writer.string(member.member_id).nullable_string(member.group_instance_id)
        writer.string(member.client_id).string(member.client_host)
        writer.i32(member.rebalance_timeout_ms).i32(member.session_timeout_ms)
        writer.sized_bytes(member.subscription).sized_bytes(member.assignment)
    return writer.done()


def decode_group(value: bytes) -> PersistedGroup:
    """Raises CorruptError."""
    reader = Reader(value)
    version = _version(reader, "GroupMetadataValue")
    reader.is_flexible = version >= 4
    group = PersistedGroup(
        protocol_type=reader.any_string(),
        generation=reader.i32(),
        protocol=reader.any_nullable_string(),
        leader=reader.any_nullable_string(),
        state_timestamp_ms=reader.i64() if version >= 2 else -1,
        members=tuple([_decode_member(reader, version) for _ in range(reader.any_count())]),
    )
    if reader.is_flexible:
        reader.tags()
    return group


def _decode_member(reader: Reader, version: int) -> PersistedMember:
    member_id = reader.any_string()
    group_instance_id = reader.any_nullable_string() if version >= 3 else None
    client_id, client_host = reader.any_string(), reader.any_string()
    rebalance_timeout_ms = reader.i32() if version >= 1 else -1
    session_timeout_ms = reader.i32()
    member = PersistedMember(
        member_id=member_id,
        group_instance_id=group_instance_id,
        client_id=client_id,
        client_host=client_host,
        # Version 0 had one time-out for both.
        rebalance_timeout_ms=session_timeout_ms if rebalance_timeout_ms < 0 else rebalance_timeout_ms,
        session_timeout_ms=session_timeout_ms,
        subscription=reader.any_bytes(),
        assignment=reader.any_bytes(),
    )
    if reader.is_flexible:
        reader.tags()
    return member


def _version(reader: Reader, name: str) -> int:
    version = reader.i16()
    if version < 0:
        raise CorruptError(f"A record of __consumer_offsets has version {version} of {name}.")
    if version > 4:
        raise NewerFormatError(
            f"A record of __consumer_offsets has version {version} of {name}, but this Raylog reads 0 to 4: use a newer Raylog."
        )
    return version


def _topic_id(data: bytes) -> TopicId | None:
    if len(data) != 16:
        raise CorruptError(f"A topic id in __consumer_offsets has {len(data)} bytes.")
    return TopicId(UUID(bytes=data)) if any(data) else None
