"""The topics that a member of a consumer group subscribes to, read from its metadata (the consumer protocol)."""

from raylog.coordination.primitives import Reader
from raylog.model.errors import CorruptError

CONSUMER_PROTOCOL_TYPE = "consumer"


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics of a ConsumerProtocolSubscription, whose version 0 begins every version; None when it is none."""
    reader = Reader(metadata)
    try:
        reader.i16()
        return frozenset([reader.string() for _ in range(reader.any_count())])
    except CorruptError:
        # The metadata is the members' own affair: a group with another format is served, only its topics are not known.
        return None
