"""Offsets of partitions, asked for in one go: begin, end, or the first at a time."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from raylog.cli.client import Cluster

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, OffsetSpec

Partition = tuple[str, int]
"""A topic's name and a partition's number."""


def list_offsets(
    cluster: Cluster, admin: "AdminClient", partitions: Iterable[Partition], spec: "OffsetSpec"
) -> dict[Partition, int]:
    """The offset that ``spec`` means in each partition; -1 where a time is after the last record."""
    from confluent_kafka import TopicPartition

    asked = {TopicPartition(topic, number): spec for topic, number in partitions}
    if not asked:
        return {}
    with cluster.errors():
        futures = admin.list_offsets(asked, request_timeout=cluster.timeout_s)
    return {
        (place.topic, place.partition): cluster.result(future, f"Partition {place.topic}-{place.partition}").offset
        for place, future in futures.items()
    }


def begin_and_end(
    cluster: Cluster, admin: "AdminClient", partitions: Iterable[Partition]
) -> dict[Partition, tuple[int, int]]:
    """The first offset and the one after the last, by partition."""
    from confluent_kafka.admin import OffsetSpec

    places = list(partitions)
    begins = list_offsets(cluster, admin, places, OffsetSpec.earliest())
    ends = list_offsets(cluster, admin, places, OffsetSpec.latest())
    return {place: (begins[place], ends[place]) for place in places}
