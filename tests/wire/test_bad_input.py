"""Bytes that no client should send, on thousands of connections: each gets Kafka's error or a closed connection, memory stays
flat, and a client that works beside them notices nothing."""

import asyncio
import contextlib
import random
import struct
import threading
import time

import psutil
import pytest
from confluent_kafka import Producer
from kio.schema.errors import ErrorCode
from kio.schema.produce.v9.request import PartitionProduceData, ProduceRequest, TopicProduceData

from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.wire import decode_response, encode_request, ms

CONNECTIONS = 2000
AT_ONCE = 200


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def head(api_key: int, version: int, *, flexible: bool = False) -> bytes:
    return struct.pack(">hhih", api_key, version, 1, 4) + b"evil" + (b"\0" if flexible else b"")


def produce_frame(topic: str, records: bytes) -> bytes:
    request = ProduceRequest(
        acks=-1,
        timeout=ms(1000),
        topic_data=(TopicProduceData(name=topic, partition_data=(PartitionProduceData(index=0, records=records),)),),
    )
    return b"".join(encode_request(request, correlation_id=1, client_id="evil"))


def closing_attacks(rng: random.Random) -> list[bytes]:
    """What must close the connection."""
    noise = rng.randbytes(rng.randrange(1, 3000))
    return [
        b"\xff" + noise + b"\xff" * 4,
        struct.pack(">i", -rng.randrange(1, 2**31)) + noise,
        struct.pack(">i", rng.randrange(101 << 20, 2**31)) + noise,
        frame(noise[:7]),
        frame(head(rng.choice([-1, 500, 9999, 32767]), 0) + noise),
        frame(head(rng.choice([0, 1, 3, 11]), rng.choice([-1, 99, 32767])) + noise),
        frame(head(3, 12, flexible=True) + b"\xff\xff\xff\xff\x0f" + noise),
        frame(head(2, 5) + struct.pack(">ib", -1, 0) + struct.pack(">i", 2**31 - 1) + noise),
        frame(head(1, 12, flexible=True) + noise[:9]),
    ]


def staying_attacks(rng: random.Random) -> list[bytes]:
    """What a gateway can only wait on: frames that do not end, connections that say nothing."""
    return [
        b"",
        b"\0",
        struct.pack(">i", 1000) + rng.randbytes(10),
        struct.pack(">i", 99 << 20) + rng.randbytes(100_000),
        frame(head(18, 0)) * 50,
    ]


@contextlib.asynccontextmanager
async def connected(port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await writer.wait_closed()


def port_of(cluster) -> int:
    return int(cluster.bootstrap.rpartition(":")[2])


async def answer_to(reader: asyncio.StreamReader) -> ErrorCode:
    """The error code in the next answer to a Produce of one partition."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    _, answer = decode_response(0, 9, await reader.readexactly(size))
    return answer.responses[0].partition_responses[0].error_code


async def attack(port: int, data: bytes, *, closes: bool) -> None:
    async with connected(port) as (reader, writer):
        writer.write(data)
        if closes:
            with contextlib.suppress(ConnectionResetError):
                async with asyncio.timeout(20):
                    assert await reader.read(1) == b"", data[:40]
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(1)


async def siege(port: int, rng: random.Random, connections: int) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(data: bytes, closes: bool) -> None:
        async with gate:
            await attack(port, data, closes=closes)

    attacks: list[tuple[bytes, bool]] = []
    while len(attacks) < connections:
        attacks += [(data, True) for data in closing_attacks(rng)]
        attacks += [(data, False) for data in staying_attacks(rng)]
    rng.shuffle(attacks)
    await asyncio.gather(*(one(data, closes) for data, closes in attacks[:connections]))


class GoodClient:
    """Produces at a steady pace, and remembers how long each acknowledgement took."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.latencies_s: list[float] = []
        self.errors: list[object] = []
        self.log: list[str] = []
        self._topic = topic
        self._stop = threading.Event()
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "error_cb": self.errors.append})
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            sent = time.monotonic()

            def on_delivery(error: object, message: object, sent: float = sent) -> None:
                if error:
                    self.errors.append(error)
                self.latencies_s.append(time.monotonic() - sent)

            self._producer.produce(self._topic, b"good", on_delivery=on_delivery)
            self._producer.poll(0.01)
        self._producer.flush(20)

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(30)


async def test_a_siege_of_bad_clients_harms_nobody(shared_cluster, new_topic):
    topic = new_topic(1)
    port = port_of(shared_cluster)
    gateway = shared_cluster.gateway(0)
    process = psutil.Process()
    rng = random.Random(5)
    await siege(port, rng, CONNECTIONS // 4)
    good = GoodClient(shared_cluster.bootstrap, topic)
    before = process.memory_info().rss
    await siege(port, rng, CONNECTIONS)
    after = process.memory_info().rss
    await asyncio.to_thread(good.finish)
    assert good.errors == []
    assert len(good.latencies_s) > 10
    assert after - before < 64 << 20
    server = gateway._server
    assert server.in_flight.taken_bytes == server.arriving.taken_bytes == server.services.answers.taken_bytes == 0


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda batch: batch[:-1] + b"\1", ErrorCode.corrupt_message),
        (lambda batch: batch[:17] + b"\0\0\0\0" + batch[21:], ErrorCode.corrupt_message),
        (lambda batch: batch[:-10], ErrorCode.corrupt_message),
        (lambda batch: batch[:8] + b"\x7f\xff\xff\xff" + batch[12:], ErrorCode.corrupt_message),
        (lambda batch: batch[:16] + b"\1" + batch[17:], ErrorCode.unsupported_for_message_format),
        (lambda batch: batch + batch, ErrorCode.invalid_record),
        (lambda batch: b"", ErrorCode.invalid_record),
        (lambda batch: random.Random(1).randbytes(500), ErrorCode.corrupt_message),
    ],
)
async def test_spoiled_batches_get_kafkas_error_and_the_connection_goes_on(shared_cluster, new_topic, spoil, error):
    topic = new_topic(1)
    batch = encode_batch([Record(key=b"key", value=b"value" * 20, timestamp_ms=1)])
    async with connected(port_of(shared_cluster)) as (reader, writer):
        for records, expected in ((spoil(batch), error), (batch, ErrorCode.none)):
            writer.write(produce_frame(topic, records))
            assert await answer_to(reader) is expected


async def test_an_oversized_batch_is_refused_and_an_oversized_frame_closes(shared_cluster, new_topic):
    topic = new_topic(1)
    batch = encode_batch([Record(value=bytes(2 << 20), timestamp_ms=1)])
    async with connected(port_of(shared_cluster)) as (reader, writer):
        writer.write(produce_frame(topic, batch))
        assert await answer_to(reader) is ErrorCode.message_too_large
        writer.write(struct.pack(">i", (100 << 20) + 1))
        assert await reader.read(1) == b""
