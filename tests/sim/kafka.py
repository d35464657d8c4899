"""A Kafka client in the simulation: real frames over a simulated connection, and the few requests that the clients here make."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from kio.schema.errors import ErrorCode

from gateway.messages import make, request_types
from lab.history.history import Found, Part
from raylog.protocol.batch import BatchHeader, Record, decode_records, encode_batch, has_valid_crc, headers
from raylog.protocol.framing import FrameProtocol
from raylog.protocol.wire import decode_response, encode_request, ms, response_correlation_id

PRODUCE, FETCH, LIST_OFFSETS, OFFSET_COMMIT, OFFSET_FETCH = 0, 1, 2, 8, 9
JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 11, 12, 13, 14
CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 19, 20, 21, 22
EARLIEST, LATEST = -2, -1
VERSIONS = {
    PRODUCE: 11,
    FETCH: 12,
    LIST_OFFSETS: 7,
    OFFSET_COMMIT: 8,
    OFFSET_FETCH: 8,
    JOIN_GROUP: 9,
    HEARTBEAT: 4,
    LEAVE_GROUP: 5,
    SYNC_GROUP: 5,
    CREATE_TOPICS: 7,
    DELETE_TOPICS: 5,
    DELETE_RECORDS: 2,
    INIT_PRODUCER_ID: 4,
}
_REQUEST_S_MAX = 4.0


class Gone(Exception):
    """No answer: the connection broke, or it took too long. Whether the request took effect is unknown."""


def part_of(api_key: int, kind: str, /, **values: Any) -> Any:
    """A structure of a request."""
    return make(getattr(request_types(api_key, VERSIONS[api_key]), kind), values)


class Connection(FrameProtocol):
    """To one gateway. Requests may be pipelined."""

    def __init__(self) -> None:
        super().__init__(max_frame_bytes=1 << 24)
        self._last_id = 0
        self._under_way: dict[int, tuple[int, asyncio.Future[Any]]] = {}

    def send(self, api_key: int, kind: str, /, **values: Any) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.is_closed:
            answer.set_exception(Gone())
            return answer
        self._last_id += 1
        self._under_way[self._last_id] = (api_key, answer)
        request = part_of(api_key, f"{kind}Request", **values)
        self.write(encode_request(request, correlation_id=self._last_id, client_id="sim"))
        return answer

    async def ask(self, api_key: int, kind: str, /, **values: Any) -> Any:
        """Raises Gone; the connection is of no use then."""
        return await self.answer(self.send(api_key, kind, **values))

    async def answer(self, answer: "asyncio.Future[Any]", seconds: float = _REQUEST_S_MAX) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            self.abort()
            raise Gone from None

    def frame_received(self, frame: bytes | memoryview) -> None:
        correlation_id = response_correlation_id(frame)
        assert correlation_id == min(self._under_way), "answers come in the order of the requests"
        api_key, answer = self._under_way.pop(correlation_id)
        if not answer.done():
            answer.set_result(decode_response(api_key, VERSIONS[api_key], frame)[1])

    def connection_closed(self, error: Exception | None) -> None:
        for _, answer in self._under_way.values():
            if not answer.done():
                answer.set_exception(Gone())
        self._under_way.clear()


class Client:
    """Finds a gateway that takes connections, any of them."""

    def __init__(self, name: str, gateways: Sequence[tuple[str, int]], rng: Random) -> None:
        self.name = name
        self.rng = rng
        self._gateways = gateways
        self._connection: Connection | None = None

    async def connection(self) -> Connection:
        """The present one, or a new one. Raises Gone."""
        if self._connection is None or self._connection.is_closed:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(_REQUEST_S_MAX):
                    _, self._connection = await loop.create_connection(Connection, *self.rng.choice(self._gateways))
            except (OSError, TimeoutError):
                raise Gone from None
        return self._connection

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    async def rest(self, seconds_max: float) -> None:
        await asyncio.sleep(self.rng.uniform(0, seconds_max))

    async def ask(self, api_key: int, kind: str, /, **values: Any) -> Any:
        return await (await self.connection()).ask(api_key, kind, **values)


def batch_of(values: Sequence[str], at_ms: int, **producer: int) -> bytes:
    return encode_batch([Record(value=value.encode(), timestamp_ms=at_ms) for value in values], **producer)


def send_batch(connection: Connection, part: Part, records: bytes) -> "asyncio.Future[Any]":
    data = part_of(PRODUCE, "PartitionProduceData", index=part.index, records=records)
    topic = part_of(PRODUCE, "TopicProduceData", name=part.topic, partition_data=(data,))
    return connection.send(PRODUCE, "Produce", transactional_id=None, acks=-1, timeout=ms(3_000), topic_data=(topic,))


def produce_outcome(response: Any) -> tuple[ErrorCode, int]:
    """Error and base offset of a request of one batch."""
    answered = response.responses[0].partition_responses[0]
    return answered.error_code, answered.base_offset


async def fetch(
    client: Client, positions: dict[Part, int], *, max_bytes: int = 1 << 20, wait_ms: int = 300
) -> dict[Part, tuple[ErrorCode, int, list[Found]]]:
    """For each partition its error, high watermark, and records from its position on. Raises Gone."""
    request = partial(part_of, FETCH)
    topics = tuple(
        request(
            "FetchTopic",
            topic=name,
            partitions=tuple(
                request("FetchPartition", partition=part.index, fetch_offset=offset, partition_max_bytes=max_bytes)
                for part, offset in positions.items()
                if part.topic == name
            ),
        )
        for name in sorted({part.topic for part in positions})
    )
    response = await client.ask(
        FETCH, "Fetch", max_wait=ms(wait_ms), min_bytes=1, max_bytes=1 << 20, topics=topics, forgotten_topics_data=()
    )
    assert response.error_code is ErrorCode.none, response
    return {
        (part := Part(topic.topic, data.partition_index)): (
            data.error_code,
            data.high_watermark,
            records_of(bytes(data.records or b""), positions[part]),
        )
        for topic in response.responses
        for data in topic.partitions
    }


def records_of(content: bytes, position: int) -> list[Found]:
    """The records from ``position`` on."""
    return [found for header in headers(content) for found in _batch(content, header) if found.offset >= position]


def _batch(content: bytes, header: BatchHeader) -> list[Found]:
    assert has_valid_crc(content, header), f"a batch at {header.base_offset} came with a wrong checksum"
    return [
        Found(record.offset, (record.value or b"").decode(), header.leader_epoch)
        for record in decode_records(content, header)
    ]


async def list_offset(client: Client, part: Part, which: int) -> tuple[ErrorCode, int]:
    """The log's start (EARLIEST) or high watermark (LATEST). Raises Gone."""
    asked = part_of(LIST_OFFSETS, "ListOffsetsPartition", partition_index=part.index, timestamp=which)
    topic = part_of(LIST_OFFSETS, "ListOffsetsTopic", name=part.topic, partitions=(asked,))
    response = await client.ask(LIST_OFFSETS, "ListOffsets", replica_id=-1, isolation_level=0, topics=(topic,))
    answered = response.topics[0].partitions[0]
    return answered.error_code, answered.offset


async def delete_records(client: Client, part: Part, before_offset: int) -> tuple[ErrorCode, int]:
    """Error and new log start. Raises Gone."""
    asked = part_of(DELETE_RECORDS, "DeleteRecordsPartition", partition_index=part.index, offset=before_offset)
    topic = part_of(DELETE_RECORDS, "DeleteRecordsTopic", name=part.topic, partitions=(asked,))
    response = await client.ask(DELETE_RECORDS, "DeleteRecords", topics=(topic,), timeout=ms(3_000))
    answered = response.topics[0].partitions[0]
    return answered.error_code, answered.low_watermark


async def create_topic(client: Client, name: str, partitions: int, configs: Mapping[str, str]) -> ErrorCode:
    """Raises Gone."""
    topic = part_of(
        CREATE_TOPICS,
        "CreatableTopic",
        name=name,
        num_partitions=partitions,
        replication_factor=1,
        assignments=(),
        configs=tuple(
            part_of(CREATE_TOPICS, "CreatableTopicConfig", name=key, value=value) for key, value in configs.items()
        ),
    )
    response = await client.ask(CREATE_TOPICS, "CreateTopics", topics=(topic,), timeout=ms(3_000), validate_only=False)
    error: ErrorCode = response.topics[0].error_code
    return error


async def delete_topic(client: Client, name: str) -> ErrorCode:
    """Raises Gone."""
    response = await client.ask(DELETE_TOPICS, "DeleteTopics", topic_names=(name,), timeout=ms(3_000))
    error: ErrorCode = response.responses[0].error_code
    return error
