"""How gateways put group requests to leaders: Kafka's own requests of one version each, with two conventions.

- ``INTERNAL_VERSIONS``: a gateway brings whatever version its client speaks to this one, and the answer back.
- What Kafka's request does not carry, as a broker sees it on its socket, travels in the client id (``ClientContext``).
- Committed offsets are kept by topic name, with the topic's id. OffsetCommit and OffsetFetch carry both in the topic's name
  (``qualified``), so that a coordinator needs no table of topics.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from raylog.model.errors import InvalidError
from raylog.model.ids import TopicId

OFFSET_COMMIT: Final = 8
OFFSET_FETCH: Final = 9
JOIN_GROUP: Final = 11
HEARTBEAT: Final = 12
LEAVE_GROUP: Final = 13
SYNC_GROUP: Final = 14
DESCRIBE_GROUPS: Final = 15
LIST_GROUPS: Final = 16
DELETE_GROUPS: Final = 42
OFFSET_DELETE: Final = 47

INTERNAL_VERSIONS: Final[dict[int, int]] = {
    OFFSET_COMMIT: 9,
    OFFSET_FETCH: 9,
    JOIN_GROUP: 9,
    HEARTBEAT: 4,
    LEAVE_GROUP: 5,
    SYNC_GROUP: 5,
    DESCRIBE_GROUPS: 6,
    LIST_GROUPS: 5,
    DELETE_GROUPS: 2,
    OFFSET_DELETE: 0,
}

_NO_RETENTION = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientContext:
    client_id: str
    host: str
    """The client's address, as Kafka shows it in DescribeGroups: without the leading slash."""
    api_version: int
    """What the client speaks: some rules depend on it (KIP-394, KIP-814)."""
    partition_count: int
    """Of ``__consumer_offsets``: it says which partition holds a group."""
    retention_ms: int | None = None
    """OffsetCommit v2 to v4: a retention of the client's own."""

    def packed(self) -> str:
        retention_ms = _NO_RETENTION if self.retention_ms is None else self.retention_ms
        return f"{self.partition_count}/{self.api_version}/{retention_ms}/{self.host}/{self.client_id}"

    @classmethod
    def unpacked(cls, text: str | None) -> "ClientContext":
        """Raises InvalidError for a client id that no gateway has made."""
        parts = (text or "").split("/", 4)
        try:
            count, version, retention_ms = (int(part) for part in parts[:3])
            host, client_id = parts[3:]
        except ValueError:
            raise InvalidError(f"A group request came without its client's context: {text!r}.") from None
        if count <= 0:
            raise InvalidError(f"A group request says that __consumer_offsets has {count} partitions.")
        return cls(
            client_id=client_id,
            host=host,
            api_version=version,
            partition_count=count,
            retention_ms=None if retention_ms == _NO_RETENTION else retention_ms,
        )


def qualified(topic: str, topic_id: TopicId | None) -> str:
    """A topic's name with its id: ``<32 hex digits>:<name>``; no name of a topic has a colon. Only the name without an id."""
    return topic if topic_id is None else f"{topic_id.hex}:{topic}"


def unqualified(text: str) -> tuple[str, TopicId | None]:
    """The name and the id. Raises InvalidError."""
    topic_id, colon, topic = text.rpartition(":")
    if not colon:
        return text, None
    try:
        return topic, TopicId(UUID(hex=topic_id))
    except ValueError:
        raise InvalidError(f"'{topic_id}' is no topic id.") from None
