"""A leader on a bucket in memory and a WAL of either kind, driven over its real listener by frames that kio encodes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uvloop
from kio.index import load_payload_module
from kio.static.constants import EntityType
from prometheus_client import CollectorRegistry

from raylog.leader.leader import Leader
from raylog.model.admin import Adopted, Assignment, HandoverOffer, LeaderAssignments, Released
from raylog.model.buffers import Buffer
from raylog.model.clock import SystemClock
from raylog.model.errors import FencedError, RetryError
from raylog.model.ids import LeaderId, LogEpoch, TopicId, TopicPartition
from raylog.model.limits import LeaderLimits, Limits
from raylog.model.load import LoadReport
from raylog.model.routing import LeaderEndpoint
from raylog.protocol.batch import Record, decode_records, encode_batch, headers
from raylog.protocol.internal import CORRELATION_ID_MASK
from raylog.protocol.wire import decode_response, encode_request, ms, response_correlation_id
from raylog.storage.checkpoint import latest_checkpoint
from raylog.storage.keys import leader_prefix
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import Priority
from raylog.storage.read_plan import decode_read_plan
from raylog.storage.wal import Wal
from raylog.storage.wal_class import open_wal, parse_wal_class

NO_WAIT_S = 60.0
"""Longer than anything here takes when it works."""


class GatedStore(MemoryStore):
    """A bucket whose conditional puts can be held: under way, not yet done."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self._gate = asyncio.Event()
        self._gate.set()
        self.held = 0
        self._era = 0

    def discard_held(self) -> None:
        """Puts that are held have never been sent."""
        self._era += 1

    def shut(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        era = self._era
        self.held += 1
        await self._gate.wait()
        self.held -= 1
        if era != self._era:
            raise RetryError("The process that asked for this has died.")
        await super().put_if_absent(key, body, priority=priority)


class FakeController:
    """Assigns what a test says, and remembers what it is told."""

    def __init__(self) -> None:
        self.assignments = LeaderAssignments(version=0, partitions=())
        self.registered: list[LeaderEndpoint] = []
        self.adopted: dict[TopicPartition, int] = {}
        self.released: dict[TopicPartition, Released] = {}
        self.undeleted: set[TopicPartition] = set()
        """Not assigned, and yet there."""
        self.is_deaf = False
        """Reports of releases do not arrive."""
        self.is_away = False
        self.stale_answers: list[LeaderAssignments] = []
        """Given to those that register, before what is so."""
        self.loads: list[LoadReport] = []
        self.offers: list[HandoverOffer] = []
        self._lost_watchers = 0
        self._changed = asyncio.Condition()

    async def assign(
        self,
        *partitions: Assignment,
        broker_configs: dict[str, str] | None = None,
        handing_over: tuple[TopicPartition, ...] = (),
    ) -> None:
        async with self._changed:
            self.assignments = LeaderAssignments(
                version=self.assignments.version + 1,
                partitions=partitions,
                handing_over=handing_over,
                broker_configs=broker_configs or {},
            )
            self._changed.notify_all()

    async def lose_watchers(self) -> None:
        """End the polls under way, as a controller that restarts does."""
        async with self._changed:
            self._lost_watchers += 1
            self._changed.notify_all()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with self._changed, asyncio.timeout(NO_WAIT_S):
            await self._changed.wait_for(is_so)

    async def register_leader(self, endpoint: LeaderEndpoint) -> LeaderAssignments:
        if self.is_away:
            raise RetryError("The controller is away.")
        if self.registered and self.registered[-1].log_epoch > endpoint.log_epoch:
            raise FencedError("A later open is registered.")
        async with self._changed:
            self.registered.append(endpoint)
            self._changed.notify_all()
        return self.stale_answers.pop(0) if self.stale_answers else self.assignments

    async def watch_assignments(
        self, leader_id: LeaderId, log_epoch: LogEpoch, version: int, load: LoadReport | None = None
    ) -> LeaderAssignments:
        if load is not None:
            self.loads.append(load)
        async with self._changed:
            lost = self._lost_watchers
            await self._changed.wait_for(lambda: self.assignments.version > version or self._lost_watchers > lost)
            if self._lost_watchers > lost:
                raise RetryError("The controller has gone away.")
            return self.assignments

    async def report_adopted(self, leader_id: LeaderId, log_epoch: LogEpoch, adopted: Sequence[Adopted]) -> None:
        async with self._changed:
            self.adopted.update({a.partition: a.epoch_base for a in adopted})
            self._changed.notify_all()

    async def report_released(self, leader_id: LeaderId, log_epoch: LogEpoch, released: Sequence[Released]) -> None:
        if self.is_deaf:
            raise RetryError("The controller is away.")
        async with self._changed:
            self.released.update({one.partition: one for one in released})
            self._changed.notify_all()

    async def offer_handover(
        self, leader_id: LeaderId, log_epoch: LogEpoch, handover: int, partitions: Sequence[TopicPartition]
    ) -> None:
        """Nobody else is there to read it."""

    async def watch_offers(
        self, leader_id: LeaderId, log_epoch: LogEpoch, read: Sequence[HandoverOffer]
    ) -> tuple[HandoverOffer, ...]:
        async with self._changed:
            self.offers = [offer for offer in self.offers if offer not in read]
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self.offers)
            return tuple(self.offers)

    async def offer(self, *offers: HandoverOffer) -> None:
        """Returns once the leader has read these."""
        async with self._changed:
            self.offers += offers
            self._changed.notify_all()
        await self.until(lambda: not self.offers)

    async def deleted_of(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [partition for partition in partitions if partition not in self.undeleted]

    async def watch_routes(self, version: int) -> Any:
        await asyncio.Event().wait()


class Client:
    """An internal connection: answers by correlation id, in whatever order they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next_id = 1
        self._asked: dict[int, tuple[int, int, asyncio.Future[Any]]] = {}
        self._planned: list[Any] = []
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, endpoint: LeaderEndpoint, *, tcp: bool = False) -> "Client":
        if tcp:
            return cls(*await asyncio.open_connection(endpoint.host, endpoint.port))
        return cls(*await asyncio.open_unix_connection(endpoint.unix_path))

    def send(self, request: Any) -> asyncio.Future[Any]:
        """The answer of a request that is on its way."""
        schema = type(request)
        correlation_id, self._next_id = self._next_id, self._next_id + 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[correlation_id] = (schema.__api_key__, schema.__version__, answer)
        self._writer.writelines(encode_request(request, correlation_id=correlation_id, client_id="test"))
        return answer

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    async def ask(self, request: Any) -> Any:
        async with asyncio.timeout(NO_WAIT_S):
            return await self.send(request)

    def has_plan(self, response: Any) -> bool:
        """Whether the answer came with the plan bit."""
        return any(response is planned for planned in self._planned)

    async def gone(self) -> None:
        """Wait until the other side has closed the connection."""
        async with asyncio.timeout(NO_WAIT_S):
            await asyncio.wait((self._task,))

    @property
    def is_gone(self) -> bool:
        return self._task.done()

    async def close(self) -> None:
        self._writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                frame = await self._reader.readexactly(size)
                correlation_id = response_correlation_id(frame)
                plain_id = correlation_id & CORRELATION_ID_MASK
                api_key, version, answer = self._asked.pop(plain_id)
                entity: Any = decode_response(api_key, version, frame)[1]
                if correlation_id != plain_id:
                    self._planned.append(entity)
                answer.set_result(entity)
        except (asyncio.IncompleteReadError, ConnectionError):
            for _, _, answer in self._asked.values():
                answer.cancel()


def request_types(api_key: int, version: int) -> Any:
    return load_payload_module(api_key, version, EntityType.request)


def batch(*values: bytes, producer_id: int = -1, epoch: int = -1, sequence: int = -1, timestamp_ms: int = 0) -> bytes:
    return encode_batch(
        [Record(value=value, timestamp_ms=timestamp_ms or SystemClock().wall_ms()) for value in values],
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
    )


TOPIC = "events"
TOPIC_ID = TopicId(UUID(int=0xABC))


def assignment(number: int = 0, topic: str = TOPIC, topic_id: TopicId = TOPIC_ID, **configs: str) -> Assignment:
    return Assignment(partition=TopicPartition(topic_id, number), topic_name=topic, configs=configs)


def produce_request(
    parts: dict[int, bytes], *, version: int = 9, acks: int = -1, timeout_ms: int = 5000, topic: str = TOPIC
) -> Any:
    types = request_types(0, version)
    data = tuple(types.PartitionProduceData(index=index, records=records) for index, records in parts.items())
    named = {"topic_id": TOPIC_ID} if version >= 13 else {"name": topic}
    return types.ProduceRequest(
        transactional_id=None,
        acks=acks,
        timeout=ms(timeout_ms),
        topic_data=(types.TopicProduceData(**named, partition_data=data),),
    )


def fetch_request(
    offsets: dict[int, int],
    *,
    version: int = 12,
    min_bytes: int = 1,
    max_wait_ms: int = 0,
    max_bytes: int = 1 << 20,
    partition_max_bytes: int = 1 << 20,
    leader_epoch: int = -1,
    isolation_level: int = 0,
) -> Any:
    types = request_types(1, version)
    epoch = {"current_leader_epoch": leader_epoch} if version >= 9 else {}
    partitions = tuple(
        types.FetchPartition(partition=number, fetch_offset=offset, partition_max_bytes=partition_max_bytes, **epoch)
        for number, offset in offsets.items()
    )
    named = {"topic_id": TOPIC_ID} if version >= 13 else {"topic": TOPIC}
    return types.FetchRequest(
        max_wait=ms(max_wait_ms),
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        topics=(types.FetchTopic(**named, partitions=partitions),),
        **({"forgotten_topics_data": ()} if version >= 7 else {}),
        **({"replica_id": -1} if version < 15 else {}),
    )


def list_offsets_request(number: int, timestamp: int, *, version: int = 7, isolation_level: int = 0) -> Any:
    types = request_types(2, version)
    partition = types.ListOffsetsPartition(partition_index=number, timestamp=timestamp)
    return types.ListOffsetsRequest(
        replica_id=-1,
        topics=(types.ListOffsetsTopic(name=TOPIC, partitions=(partition,)),),
        **({"isolation_level": isolation_level} if version >= 2 else {}),
        **({"timeout": ms(5000)} if version >= 10 else {}),
    )


def delete_records_request(number: int, offset: int, *, timeout_ms: int = 5000) -> Any:
    types = request_types(21, 2)
    partition = types.DeleteRecordsPartition(partition_index=number, offset=offset)
    return types.DeleteRecordsRequest(
        topics=(types.DeleteRecordsTopic(name=TOPIC, partitions=(partition,)),), timeout=ms(timeout_ms)
    )


def epoch_end_request(number: int, leader_epoch: int, *, current: int = -1) -> Any:
    types = request_types(23, 4)
    partition = types.OffsetForLeaderPartition(
        partition=number, current_leader_epoch=current, leader_epoch=leader_epoch
    )
    return types.OffsetForLeaderEpochRequest(topics=(types.OffsetForLeaderTopic(topic=TOPIC, partitions=(partition,)),))


def values_of(records: bytes) -> list[bytes | None]:
    return [record.value for header in headers(records) for record in decode_records(records, header)]


@dataclass
class Cluster:
    """One leader after another on the same bucket, WAL folder and controller."""

    wal_url: str
    run_dir: Path
    store: GatedStore
    controller: FakeController
    limits: Limits = field(default_factory=lambda: Limits(leader=LeaderLimits(sequence_grace_s=0.0)))
    leaders: list[Leader] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    wals: list[Wal] = field(default_factory=list)

    async def start(self, *, run_dir: str = "run", leader_limits: dict[str, Any] | None = None) -> Leader:
        """A leader of the same id, one epoch up from the last."""
        limits = self.limits
        if leader_limits:
            limits = replace(limits, leader=replace(limits.leader, **leader_limits))
        wal = open_wal(parse_wal_class("test", self.wal_url), LeaderId(1), clock=SystemClock())
        self.wals.append(wal)
        leader = Leader(
            leader_id=LeaderId(1),
            node_id="node",
            store=self.store,
            wal=wal,
            controller=self.controller,  # type: ignore[arg-type]
            clock=SystemClock(),
            rng=random.Random(len(self.leaders)),
            limits=limits,
            run_dir=self.run_dir / run_dir,
            registry=CollectorRegistry(),
        )
        self.leaders.append(leader)
        async with asyncio.timeout(NO_WAIT_S):
            await leader.start()
        return leader

    async def client(self, *, tcp: bool = False) -> Client:
        client = await Client.connect(self.controller.registered[-1], tcp=tcp)
        self.clients.append(client)
        await client.ask(fetch_request({}))  # so that the leader has accepted it, too
        return client

    async def lead(self, *assignments: Assignment) -> Client:
        """A leader that serves these partitions, and a connection to it."""
        await self.controller.assign(*assignments)
        await self.start()
        return await self.client()

    async def records_of(self, client: Client, response: Any) -> bytes:
        """The batches of a fetch's only partition: those in it, or those that its read plan names."""
        partition = response.responses[0].partitions[0]
        if not client.has_plan(response):
            assert partition.preferred_read_replica == -1
            return bytes(partition.records)
        assert partition.preferred_read_replica == -2
        plan = decode_read_plan(partition.records)
        return b"".join([await self.store.get(r.key, start=r.position, length=r.size_bytes) for r in plan])

    async def has_checkpoint(self) -> bool:
        return await latest_checkpoint(self.store, leader_prefix(LeaderId(1))) is not None

    def validate(self) -> None:
        """Every partition of the newest leader keeps its invariants."""
        parts = self.leaders[-1]._parts
        assert parts is not None
        for hosted in parts.context.partitions:
            hosted.core.validate()
            hosted.tail.validate()

    async def crash(self) -> None:
        """End the newest leader as kill -9 does: nothing more is flushed or answered."""
        leader = self.leaders.pop()
        leader.fail(RuntimeError("killed by the test"))
        await leader.close()

    async def stop(self) -> None:
        self.store.release()
        for client in self.clients:
            await client.close()
        for leader in self.leaders:
            await leader.close()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As leaders run. (asyncio's own loop of Python 3.11 also leaks a connection that a server accepts while it closes.)"""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["object", "file"])
def wal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds of WAL; intervals short, so that tests need not wait for flushes."""
    if request.param == "object":
        return "object:?interval_ms=5"
    (tmp_path / "wal").mkdir()
    return f"file://{tmp_path}/wal?flush_interval_ms=30000&segment=1MiB&capacity=256MiB"


@pytest.fixture
def make_cluster(tmp_path: Path) -> Callable[[str], Cluster]:
    return lambda wal_url: Cluster(wal_url=wal_url, run_dir=tmp_path, store=GatedStore(), controller=FakeController())


@pytest.fixture
async def cluster(wal_url: str, make_cluster: Callable[[str], Cluster]) -> AsyncIterator[Cluster]:
    made = make_cluster(wal_url)
    yield made
    await made.stop()


@pytest.fixture
def kit() -> Any:
    """This module: what tests make requests with."""
    import sys

    return sys.modules[__name__]
