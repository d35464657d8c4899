"""Every partition read from its start to its end, by a client that knows nothing: what all else is held against."""

from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from lab.clients import found_of, part_of
from lab.history.history import Part
from lab.history.journal import Journal

_ENDS_S_MAX = 60.0
_GROUP = "last-reading"


def read_all(bootstrap: str, journal: Journal, partitions: Sequence[Part], seconds_max: float) -> None:
    """Into the journal; what cannot be read, or not in time, is an oddity there."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "group.id": _GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    found: dict[Part, list[tuple[int, str, int]]] = {partition: [] for partition in partitions}
    try:
        ends = {
            partition: consumer.get_watermark_offsets(TopicPartition(*partition), timeout=_ENDS_S_MAX)[1]
            for partition in partitions
        }
        consumer.assign([TopicPartition(topic, index, 0) for topic, index in partitions])
        deadline = journal.now() + seconds_max
        left = {partition for partition, end in ends.items() if end > 0}
        while left:
            if journal.now() > deadline:
                journal.oddity(f"the logs could not be read to their ends in {seconds_max:.0f} s")
                break
            for message in consumer.consume(1000, timeout=0.5):
                if message.error():
                    raise KafkaException(message.error())
                partition, record = part_of(message), found_of(message)
                found[partition].append(record)
                if record[0] + 1 >= ends[partition]:
                    left.discard(partition)
    except KafkaException as error:
        journal.oddity(f"the logs could not be read to their ends: {error}")
    finally:
        consumer.close()
    for (topic, index), log in found.items():
        journal.write("log", topic=topic, part=index, found=log)
