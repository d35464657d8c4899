"""Consumers that ask for much and read their sockets slowly or never: memory stays bounded, others notice nothing, and whoever
reads on after all gets what it asked for."""

import asyncio
import contextlib
import struct

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kio.schema.errors import ErrorCode

from gateway.messages import make, request_types
from raylog.model.limits import GatewayLimits, LeaderLimits, Limits
from raylog.protocol.wire import decode_response, encode_request, ms
from tests.harness.cluster import running

MIB = 1 << 20
STUCK = 60
"""Each asks for the whole topic, so for far more together than the gateway may hold."""
TOPIC_BYTES = 24 * MIB
BATCH_BYTES = 500_000
"""The largest batch, and so the most that a client gets when the memory is used up."""
FETCH_TOTAL_BYTES = 48 * MIB
VERSION = 12


@pytest.fixture(scope="module", params=["tail", "bucket"])
def cluster(request, tmp_path_factory):
    """One gateway; records come from the leader's memory, or by read plan from the bucket."""
    limits = Limits(
        gateway=GatewayLimits(fetch_total_bytes_max=FETCH_TOTAL_BYTES, block_cache_bytes=16 * MIB),
        leader=LeaderLimits(tail_cache_bytes=128 * MIB if request.param == "tail" else MIB),
    )
    folder = tmp_path_factory.mktemp("cluster")
    wal = {"object": "object:?interval_ms=20"}
    with running(folder, limits=limits, wal=wal, default_wal="object", leaders_per_class=1) as cluster:
        yield cluster


@pytest.fixture
def topic(cluster, make_topic):
    name = make_topic(cluster)(1)
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 5, "batch.size": BATCH_BYTES})
    for n in range(TOPIC_BYTES // 100_000):
        producer.produce(name, value_of(n), partition=0)
        producer.poll(0.001)
    assert producer.flush(60) == 0
    return name


def value_of(n: int) -> bytes:
    return struct.pack(">I", n) * 25_000


def fetch_frame(topic: str) -> bytes:
    """A request for all that there is, as one frame."""
    types = request_types(1, VERSION)
    part = make(
        types.FetchPartition,
        {"partition": 0, "fetch_offset": 0, "log_start_offset": -1, "partition_max_bytes": 50 * MIB},
    )
    values = {
        "replica_id": -1,
        "max_wait": ms(100),
        "min_bytes": 1,
        "max_bytes": 50 * MIB,
        "isolation_level": 0,
        "session_id": 0,
        "session_epoch": -1,
        "topics": (make(types.FetchTopic, {"topic": topic, "partitions": (part,)}),),
        "forgotten_topics_data": (),
        "rack_id": "",
    }
    return b"".join(encode_request(make(types.FetchRequest, values), correlation_id=7, client_id="slow"))


@contextlib.asynccontextmanager
async def asking(cluster, topic, count):
    """Connections that have asked for everything, and of which nobody reads."""
    host, port = cluster.bootstrap.split(":")
    streams = []
    try:
        for _ in range(count):
            # The limit is how much the stream itself takes in before anyone reads it.
            reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(fetch_frame(topic))
            streams.append((reader, writer))
        yield streams
    finally:
        for _, writer in streams:
            writer.transport.abort()


def produce_and_consume(cluster, topic) -> None:
    """What a good client does beside all that."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 0})
    errors = []
    for n in range(50):
        producer.produce(topic, b"good-%d" % n, on_delivery=lambda error, _: error and errors.append(error))
        producer.poll(0.01)
    assert producer.flush(30) == 0
    assert errors == []
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "good"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    wanted = TOPIC_BYTES // 100_000 + 50
    found = []
    while len(found) < wanted:
        messages = consumer.consume(wanted - len(found), timeout=60)
        assert messages, f"{len(found)} of {wanted} records within a minute"
        found += [message.value() for message in messages if not message.error()]
    consumer.close()
    assert found[-1] == b"good-49"


async def test_clients_that_read_nothing_harm_nobody_and_cost_a_bounded_memory(cluster, topic):
    process = psutil.Process()
    server = cluster.gateway(0)._server
    before = process.memory_info().rss
    async with asking(cluster, topic, STUCK):
        await asyncio.to_thread(produce_and_consume, cluster, topic)
        grown = process.memory_info().rss - before
        # The limit may be passed by what is being made as it is reached; then each client is kept one batch at most.
        assert server.services.answers.taken_bytes <= FETCH_TOTAL_BYTES + 2 * TOPIC_BYTES + STUCK * BATCH_BYTES
    assert grown < 400 * MIB < STUCK * TOPIC_BYTES
    while server.services.answers.taken_bytes:  # noqa: ASYNC110  (nobody tells)
        await asyncio.sleep(0.01)


async def test_a_client_that_reads_late_and_in_small_bites_gets_it_all(cluster, topic):
    async with asking(cluster, topic, 1) as [(reader, _)]:
        await asyncio.to_thread(produce_and_consume, cluster, topic)
        size = int.from_bytes(await reader.readexactly(4), "big")
        answer = bytearray()
        while len(answer) < size:
            answer += await reader.readexactly(min(10_000, size - len(answer)))
        part = decode_response(1, VERSION, bytes(answer))[1].responses[0].partitions[0]
        assert part.error_code is ErrorCode.none
        assert len(part.records) >= TOPIC_BYTES - MIB
        assert bytes(part.records).count(value_of(17)) == 1
