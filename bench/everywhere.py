"""Something of every partition of some topics, by raw requests: one for each topic, one after the other."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from kio.index import load_payload_module
from kio.schema.errors import ErrorCode
from kio.static.constants import EntityType

from bench.raw import REQUEST_S_MAX, Listening, asked, connected
from bench.servers import ServerError
from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.wire import decode_response, ms, topic_name

_PRODUCE: Final = (0, 9)
_FETCH: Final = (1, 11)
_PAUSE_S: Final = 0.1
_NOT_YET: Final = {ErrorCode.not_leader_or_follower, ErrorCode.leader_not_available}
_FETCH_BYTES: Final = 64 << 20

Offsets = dict[tuple[str, int], int]
"""By topic and partition."""


def produce_everywhere(server: Listening, topics: Mapping[str, int], value: bytes = bytes(100)) -> Offsets:
    """A record to every partition of ``topics`` (name to partitions); returns its offsets.

    As any client does while leaders come up: what was refused is sent again, and what was taken with it is there twice.
    """
    types = load_payload_module(*_PRODUCE, EntityType.request)
    records = encode_batch([Record(value=value)])
    offsets: Offsets = {}
    with connected(server) as connection:
        for topic, count in topics.items():
            data = tuple(types.PartitionProduceData(index=number, records=records) for number in range(count))
            request = types.ProduceRequest(
                transactional_id=None,
                acks=-1,
                timeout=ms(int(REQUEST_S_MAX * 1000)),
                topic_data=(types.TopicProduceData(name=topic_name(topic), partition_data=data),),
            )
            for answer in _until_taken(connection, _PRODUCE, request):
                offsets[topic, answer.index] = answer.base_offset
    return offsets


def fetch_everywhere(server: Listening, offsets: Mapping[tuple[str, int], int]) -> int:
    """Fetch from these offsets on; every partition must have a batch there. Returns the bytes of records."""
    types = load_payload_module(*_FETCH, EntityType.request)
    size = 0
    with connected(server) as connection:
        for topic in dict.fromkeys(topic for topic, _ in offsets):
            partitions = tuple(
                types.FetchPartition(
                    partition=number,
                    fetch_offset=offset,
                    partition_max_bytes=1 << 20,
                    current_leader_epoch=-1,
                    log_start_offset=-1,
                )
                for (of, number), offset in offsets.items()
                if of == topic
            )
            request = types.FetchRequest(
                replica_id=-1,
                max_wait=ms(0),
                min_bytes=1,
                max_bytes=_FETCH_BYTES,
                isolation_level=0,
                session_id=0,
                session_epoch=-1,
                topics=(types.FetchTopic(topic=topic_name(topic), partitions=partitions),),
                forgotten_topics_data=(),
                rack_id="",
            )
            for answer in _until_taken(connection, _FETCH, request):
                if not answer.records:
                    raise ServerError(f"Partition {answer.partition_index} of {topic} has no record at its end.")
                size += len(answer.records)
    return size


def _until_taken(connection: Any, api: tuple[int, int], request: Any) -> Iterator[Any]:
    """The partitions' answers once no one is refused any more."""
    deadline = time.perf_counter() + REQUEST_S_MAX
    while True:
        answers = list(_partitions(decode_response(*api, asked(connection, request))[1]))
        errors = {answer.error_code for answer in answers} - {ErrorCode.none}
        if not errors:
            yield from answers
            return
        if time.perf_counter() > deadline or not errors <= _NOT_YET:
            raise ServerError(f"The server refused partitions: {', '.join(error.name for error in errors)}.")
        time.sleep(_PAUSE_S)


def _partitions(answer: Any) -> Iterable[Any]:
    for topic in answer.responses:
        yield from getattr(topic, "partition_responses", None) or topic.partitions
