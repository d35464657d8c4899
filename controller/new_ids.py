"""Ids of topics and clusters, made at random."""

import base64
from uuid import UUID

from raylog.model.clock import Random
from raylog.model.ids import TopicId


def new_topic_id(rng: Random) -> TopicId:
    while True:
        topic_id = UUID(bytes=rng.randbytes(16), version=4)
        if not base64.urlsafe_b64encode(topic_id.bytes).startswith(b"-"):  # Kafka's tools would read an option
            return TopicId(topic_id)


def new_cluster_id(rng: Random) -> str:
    """As Kafka writes it: 22 characters."""
    return base64.urlsafe_b64encode(new_topic_id(rng).bytes).decode().rstrip("=")
