"""Real input through real kills: the standard library's sources go in by confluent-kafka and come back by an aiokafka group.

The server is killed with -9 half-way through producing and again half-way through consuming. Every chunk is in the log once, in
order per key, byte for byte; a redelivery after a rebalance shows the same bytes at the same offset.
"""

import asyncio
import contextlib
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.timeout(600)

_TOPIC = "standard-library"
_PARTITIONS = 12
_CHUNK_BYTES = 48 * 1024
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

Chunk = tuple[str, int, bytes]


def _corpus() -> list[Chunk]:
    """Every file of the standard library's source tree, cut into numbered chunks: (path, number, bytes)."""
    root = Path(sysconfig.get_paths()["stdlib"])
    chunks: list[Chunk] = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if not path.is_file() or {"site-packages", "__pycache__"} & set(parts) or path.suffix in (".so", ".a", ".pyc"):
            continue
        data, name = path.read_bytes(), str(path.relative_to(root))
        chunks.extend(
            (name, number, data[at : at + _CHUNK_BYTES])
            for number, at in enumerate(range(0, max(len(data), 1), _CHUNK_BYTES))
        )
    return chunks


class _Failures(list[str]):
    def on_delivery(self, error: object, _message: object) -> None:
        if error is not None:
            self.append(str(error))


def _produce(bootstrap: str, chunks: list[Chunk], kill_and_restart) -> None:
    """All chunks, the codec chosen by file; the server dies when half of them are handed over."""
    failures = _Failures()
    producers = {
        codec: Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "compression.type": codec,
                "linger.ms": 5,
                "message.timeout.ms": 300_000,
                "queue.buffering.max.messages": 200_000,
            }
        )
        for codec in _CODECS
    }
    for at, (name, number, data) in enumerate(chunks):
        producer = producers[_CODECS[len(name) % len(_CODECS)]]
        producer.produce(_TOPIC, key=name, value=data, headers={"n": str(number)}, on_delivery=failures.on_delivery)
        producer.poll(0)
        if at == len(chunks) // 2:
            kill_and_restart()
    for producer in producers.values():
        assert producer.flush(240) == 0
    assert failures == []


class _Group:
    """Members of one consumer group that come and go, and what all of them have seen: (partition, offset) -> record."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._members: dict[int, asyncio.Task[None]] = {}
        self._next = 0
        self.seen: dict[tuple[int, int], tuple[str, int, bytes]] = {}
        self.changed = asyncio.Condition()

    async def join(self) -> int:
        self._next += 1
        self._members[self._next] = asyncio.create_task(self._member())
        return self._next

    async def leave(self, member: int) -> None:
        task = self._members.pop(member)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def leave_all(self) -> None:
        for member in list(self._members):
            await self.leave(member)

    async def has_seen(self, records: int) -> None:
        """Waits for that many distinct records; a member's failure ends the wait."""
        while len(self.seen) < records:
            for task in self._members.values():
                if task.done():
                    task.result()
            async with self.changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 5)

    async def _member(self) -> None:
        consumer = AIOKafkaConsumer(
            _TOPIC,
            bootstrap_servers=self._bootstrap,
            group_id="readers",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=1_000,
            request_timeout_ms=20_000,
        )
        try:
            await consumer.start()  # inside: a member that leaves while it joins is closed, too
            while True:
                batches = await consumer.getmany(timeout_ms=500, max_records=500)
                for partition, records in batches.items():
                    for record in records:
                        number = int(dict(record.headers)["n"])
                        found = (record.key.decode(), number, record.value)
                        earlier = self.seen.setdefault((partition.partition, record.offset), found)
                        assert earlier == found, "one offset, two values"
                if batches:
                    with contextlib.suppress(
                        Exception
                    ):  # a commit that a rebalance or the kill refuses is made again later
                        await consumer.commit()
                    async with self.changed:
                        self.changed.notify_all()
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 10)


async def _consume(bootstrap: str, total: int, kill_and_restart) -> dict[tuple[int, int], tuple[str, int, bytes]]:
    group = _Group(bootstrap)
    first = await group.join()
    await group.join()
    await group.has_seen(total // 6)
    await group.join()
    await group.has_seen(total // 3)
    await group.leave(first)
    await group.has_seen(total // 2)
    await asyncio.to_thread(kill_and_restart)
    await group.has_seen(total * 2 // 3)
    await group.join()
    await group.has_seen(total)
    await group.leave_all()
    return group.seen


def _check(chunks: list[Chunk], seen: dict[tuple[int, int], tuple[str, int, bytes]]) -> None:
    assert len(seen) == len(chunks), f"{len(chunks)} chunks were acknowledged, the log has {len(seen)}"
    in_log_order: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for _, (name, number, data) in sorted(seen.items()):
        in_log_order[name].append((number, data))
    sent: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for name, number, data in chunks:
        sent[name].append((number, data))
    assert in_log_order == sent


@pytest.fixture(params=["folder", "s3"])
def server(request: pytest.FixtureRequest, start_serve) -> Iterator[object]:
    if request.param == "folder":
        yield start_serve()
    else:
        store = request.getfixturevalue("moto_s3")
        yield start_serve(store, env={"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})


def test_every_file_comes_back_once_in_order_through_two_kills(server) -> None:
    chunks = _corpus()
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    for future in admin.create_topics([NewTopic(_TOPIC, _PARTITIONS)]).values():
        future.result()

    def kill_and_restart() -> None:
        server.kill()
        server.start()

    _produce(server.bootstrap, chunks, kill_and_restart)
    seen = asyncio.run(_consume(server.bootstrap, len(chunks), kill_and_restart))
    _check(chunks, seen)
