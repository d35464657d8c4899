"""A spare worker's rehearsal: it is a leader twice, in a folder of its own, before it is one in earnest.

What Python does for the first time takes it several times as long as later: modules come in where they are first needed, calls
find no caches, code has no fast form yet. Leaders that have died together need that processor time at the same moment
(docs/decisions/0010 has the figures). So what a leader does from its start to its first answer has been done once before: the
second life here recovers what the first has left in a log and a WAL, as a successor does.
"""

import asyncio
import logging
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop
from kio.static.protocol import Payload
from prometheus_client import CollectorRegistry

from actors.controller_client import RayControllerClient
from gateway.messages import request_types
from raylog.leader.leader import Leader
from raylog.leader.registry import served_apis
from raylog.model.admin import Assignment, LeaderAssignments
from raylog.model.clock import Clock, SystemClock, system_random
from raylog.model.errors import FencedError
from raylog.model.ids import LeaderId, TopicId, TopicPartition
from raylog.model.limits import Limits
from raylog.model.routing import LeaderEndpoint
from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.framing import SIZE_BYTES
from raylog.protocol.single_produce import PRODUCE
from raylog.protocol.wire import decode_response, encode_request, ms
from raylog.storage.store_url import open_store
from raylog.storage.wal_class import open_wal, parse_wal_class

_LEADER = LeaderId(0)
_NODE = _TOPIC = "rehearsal"
_PARTITION = TopicPartition(TopicId(UUID(int=1)), 0)
_SECONDS_MAX = 10.0
"""A disk that takes longer has more to say to a leader's start than a rehearsal."""


def rehearse() -> None:
    """Be a leader twice. Raises what a leader may end with, TimeoutError: a start without a rehearsal is only slower."""
    with tempfile.TemporaryDirectory(prefix="raylog-rehearsal-") as folder, _silence():
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(asyncio.wait_for(_two_lives(Path(folder)), _SECONDS_MAX))
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


async def _two_lives(folder: Path) -> None:
    (folder / "wal").mkdir()
    clock, rng, registry = SystemClock(), system_random(), CollectorRegistry()
    store = await open_store(f"file://{folder}/bucket", clock=clock, rng=rng, registry=registry)
    wal_class = parse_wal_class("rehearsal", f"file://{folder}/wal?segment=1MiB")
    try:
        for _ in range(2):
            controller = _Prompter(clock)
            leader = Leader(
                leader_id=_LEADER,
                node_id=_NODE,
                store=store,
                wal=open_wal(wal_class, _LEADER, clock=clock),
                controller=controller,
                clock=clock,
                rng=rng,
                limits=Limits(),
                run_dir=folder,
                registry=CollectorRegistry(),
            )
            try:
                await leader.start()
                await controller.adopted.wait()
                await _produce(await controller.registered)
                # Its end is sudden, as what it has not flushed is for the second life to find.
                leader.fail(FencedError("This life of the rehearsal is over."))
            finally:
                await leader.close()
    finally:
        await store.close()


class _Prompter(RayControllerClient):
    """Says what a controller would. What is said is pickled, as between Ray's processes."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.registered: asyncio.Future[LeaderEndpoint] = asyncio.get_running_loop().create_future()
        self.adopted = asyncio.Event()

    async def _call_once(self, method: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        _, (said, *_), _ = pickle.loads(pickle.dumps((method, args, kwargs)))
        match method:
            case "register_leader":
                self.registered.set_result(said)
                one = Assignment(partition=_PARTITION, topic_name=_TOPIC, configs={})
                return pickle.loads(pickle.dumps(LeaderAssignments(version=1, partitions=(one,))))
            case "report_adopted":
                self.adopted.set()
                return None
            case _:  # news, of which there is none
                return await asyncio.get_running_loop().create_future()


async def _produce(endpoint: LeaderEndpoint) -> None:
    """One batch, as a gateway sends it, and its answer. Raises RuntimeError when that is an error."""
    version = served_apis()[PRODUCE].max_version
    types = request_types(PRODUCE, version)
    records = encode_batch([Record(value=b"", timestamp_ms=SystemClock().wall_ms())])
    part = types.PartitionProduceData(index=_PARTITION.partition, records=records)
    topic = types.TopicProduceData(topic_id=_PARTITION.topic_id, partition_data=(part,))
    request: Payload = types.ProduceRequest(transactional_id=None, acks=-1, timeout=ms(1000), topic_data=(topic,))
    reader, writer = await asyncio.open_unix_connection(endpoint.unix_path)
    writer.writelines(encode_request(request, correlation_id=1))
    answer = await reader.readexactly(int.from_bytes(await reader.readexactly(SIZE_BYTES), "big"))
    writer.close()
    response: Any = decode_response(PRODUCE, version, answer)[1]
    ((part,),) = (topic.partition_responses for topic in response.responses)
    if part.error_code:
        raise RuntimeError(f"The rehearsal's batch was refused: {part.error_code.name}.")


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing of this is news to anybody."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
