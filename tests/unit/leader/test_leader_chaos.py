"""Producers that retry, a faulty bucket, leaders that crash, close and are fenced at random: what was acknowledged is there."""

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.model.clock import SystemClock
from raylog.storage.faulty_store import FaultModel, FaultyStore

PARTITIONS = 3
PRODUCERS = 4
BATCHES = 40
FAULTS = FaultModel(slow_down=0.05, timed_out=0.02, answer_lost=0.05, timeout_s=0.01)


class Producer:
    """Idempotent: sends batch after batch to each partition, up to three under way, again until acknowledged."""

    def __init__(self, cluster: Any, kit: Any, producer_id: int) -> None:
        self._cluster = cluster
        self._kit = kit
        self._producer_id = producer_id
        self.acknowledged: dict[int, dict[int, int]] = defaultdict(dict)
        """Offset of each batch by partition and sequence."""
        self.progress = asyncio.Event()

    async def run(self) -> None:
        await asyncio.gather(*(self._fill(number) for number in range(PARTITIONS)))

    async def _fill(self, number: int) -> None:
        done = self.acknowledged[number]
        while len(done) < BATCHES:
            first = len(done)
            try:
                client = await self._kit.Client.connect(self._cluster.controller.registered[-1])
            except OSError:
                await asyncio.sleep(0)
                continue
            try:
                answers = [client.send(self._request(number, first + n)) for n in range(min(3, BATCHES - first))]
                for sequence, answer in enumerate(answers, start=first):
                    async with asyncio.timeout(5):
                        ((partition,),) = (topic.partition_responses for topic in (await answer).responses)
                    if partition.error_code is not ErrorCode.none:
                        assert partition.error_code in RETRIABLE, partition
                        break
                    assert done.setdefault(sequence, partition.base_offset) == partition.base_offset
                    self.progress.set()
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
            finally:
                await client.close()

    def _request(self, number: int, sequence: int) -> Any:
        value = b"%d:%d" % (self._producer_id, sequence)
        batch = self._kit.batch(value, producer_id=self._producer_id, epoch=0, sequence=sequence)
        return self._kit.produce_request({number: batch})


RETRIABLE = {
    ErrorCode.not_leader_or_follower,
    ErrorCode.request_timed_out,
    # A batch sent behind one that was lost with its leader.
    ErrorCode.out_of_order_sequence_number,
}


@pytest.mark.parametrize("seed", range(3))
async def test_acknowledged_batches_are_there_once_and_in_order(cluster: Any, kit: Any, seed: int) -> None:
    rng = random.Random(seed)
    memory = cluster.store
    cluster.store = FaultyStore(memory, clock=SystemClock(), rng=rng, faults=FAULTS)
    await cluster.controller.assign(*(kit.assignment(number) for number in range(PARTITIONS)))
    settings = {"checkpoint_slots": 7, "tail_cache_bytes": 2000, "plan_run_bytes_max": 1000}
    await cluster.start(leader_limits=settings)
    producers = [Producer(cluster, kit, producer_id) for producer_id in range(PRODUCERS)]
    for producer in producers:
        producer.progress = producers[0].progress
    producing = asyncio.gather(*(producer.run() for producer in producers))
    for round_number in range(6):
        target = (round_number + 1) * PRODUCERS * PARTITIONS * BATCHES // 8
        while count(producers) < target:
            async with asyncio.timeout(30):
                await producers[0].progress.wait()
            producers[0].progress.clear()
        match rng.choice(["crash", "close", "fence"]):
            case "crash":
                await cluster.crash()
            case "close":
                await cluster.leaders.pop().close()
        await cluster.start(run_dir=f"run{round_number}", leader_limits=settings)
    async with asyncio.timeout(60):
        await producing
    cluster.store = memory
    client = await cluster.client()
    for number in range(PARTITIONS):
        values = await everything(cluster, client, kit, number)
        for producer in producers:
            for sequence, offset in producer.acknowledged[number].items():
                assert values[offset] == b"%d:%d" % (producer._producer_id, sequence)
        # Each producer's batches, once each, in their order.
        assert len(values) == PRODUCERS * BATCHES
        for producer_id in range(PRODUCERS):
            own = [value for value in values if value.startswith(b"%d:" % producer_id)]
            assert own == [b"%d:%d" % (producer_id, sequence) for sequence in range(BATCHES)]
    cluster.validate()


def count(producers: list[Producer]) -> int:
    return sum(len(done) for producer in producers for done in producer.acknowledged.values())


async def everything(cluster: Any, client: Any, kit: Any, number: int) -> list[bytes]:
    values: list[bytes] = []
    while True:
        response = await client.ask(kit.fetch_request({number: len(values)}))
        if response.responses[0].partitions[0].high_watermark == len(values):
            return values
        records = await cluster.records_of(client, response)
        for header in kit.headers(records):
            for record in kit.decode_records(records, header):
                if record.offset >= len(values):
                    assert record.offset == len(values)
                    values.append(record.value)
