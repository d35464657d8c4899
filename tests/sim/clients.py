"""Producers, consumers and who deletes records: small coroutines that never give up, and write down what they were told."""

import asyncio
from collections import defaultdict, deque
from typing import Any

from kio.schema.errors import ErrorCode

from lab.history.history import Batch, Deletion, History, Poll, SeenStart
from raylog.protocol.wire import ms
from tests.sim import kafka
from tests.sim.clock import SimClock
from tests.sim.kafka import Client, Gone, Part
from tests.sim.trace import Trace

NOT_NOW = {
    ErrorCode.not_leader_or_follower,
    ErrorCode.leader_not_available,
    ErrorCode.unknown_topic_or_partition,
    ErrorCode.request_timed_out,
    ErrorCode.kafka_storage_error,
}
"""What a client tries again after."""


class World:
    """What clients share."""

    def __init__(self, clock: SimClock, history: History, trace: Trace, parts: list[Part]) -> None:
        self.clock = clock
        self.history = history
        self.trace = trace
        self.parts = parts
        self.is_over = False
        """Clients finish what they are at, and stop."""

    def left(self, positions: dict[Part, int]) -> dict[Part, int]:
        """Without the partitions whose topics are deleted."""
        return {part: offset for part, offset in positions.items() if part not in self.history.deleted}

    async def earliest(self, client: Client, part: Part) -> tuple[ErrorCode, int]:
        """The log's start, which the checker hears of, too. Raises Gone."""
        error, offset = await kafka.list_offset(client, part, kafka.EARLIEST)
        if error is ErrorCode.none:
            seen = SeenStart(part=part, offset=offset, at_ms=self.clock.wall_ms())
            self.history.seen_starts.append(seen)
            self.trace.event("start-seen", f"{client.name} {part} {offset}")
        return error, offset

    def odd(self, text: str) -> None:
        self.trace.event("odd", text)
        self.history.oddities.append(text)


class Producer:
    """Sends batches, several under way for a partition. An idempotent one sends again until it knows; the other never does."""

    def __init__(self, world: World, client: Client, *, is_idempotent: bool, pause_s: float) -> None:
        self._world = world
        self._client = client
        self._is_idempotent = is_idempotent
        self._pause_s = pause_s
        self._producer_id = -1
        self._sequences: dict[Part, int] = {}
        self._numbers: dict[Part, int] = {}
        self._open: defaultdict[Part, deque[tuple[Batch, int]]] = defaultdict(deque)
        """Sent and not known to be there, with the first sequence number; in order."""

    async def run(self) -> None:
        while not self._world.is_over or any(self._open.values()):
            try:
                await self._round()
            except Gone:
                self._client.hang_up()
            await self._client.rest(self._pause_s)

    async def _round(self) -> None:
        for part in [part for part in self._open if part in self._world.history.deleted]:
            del self._open[part]
        connection = await self._client.connection()
        if self._is_idempotent and self._producer_id < 0:
            await self._get_id(connection)
            return
        rng = self._client.rng
        for part in rng.sample(self._world.parts, rng.randint(1, min(3, len(self._world.parts)))):
            while len(self._open[part]) < 4 and not self._world.is_over:
                self._make_batch(part)
                if rng.random() < 0.6:
                    break
        answers = [
            (part, batch, self._send(connection, batch, sequence))
            for part, batches in self._open.items()
            for batch, sequence in batches
        ]
        try:
            if self._is_idempotent and rng.random() < 0.05:
                # As after a time-out that was too short: what is under way is sent again at once, on another way.
                await self._client.rest(0.02)
                raise Gone
            for part, batch, answer in answers:
                self._told(part, batch, *kafka.produce_outcome(await connection.answer(answer)))
        finally:
            if not self._is_idempotent:
                for batches in self._open.values():
                    batches.clear()

    async def _get_id(self, connection: kafka.Connection) -> None:
        response = await connection.ask(
            kafka.INIT_PRODUCER_ID,
            "InitProducerId",
            transactional_id=None,
            transaction_timeout=ms(60_000),
            producer_id=-1,
            producer_epoch=-1,
        )
        if response.error_code is ErrorCode.none:
            self._producer_id = response.producer_id
            self._world.history.producer_ids.append(response.producer_id)

    def _make_batch(self, part: Part) -> None:
        number = self._numbers.get(part, 0)
        count = self._client.rng.randint(1, 3)
        values = tuple(f"{self._client.name}:{part}:{number}.{i}" for i in range(count))
        batch = Batch(
            producer=self._client.name, part=part, values=values, number=number, is_idempotent=self._is_idempotent
        )
        self._world.history.batches.append(batch)
        sequence = self._sequences.get(part, 0)
        self._open[part].append((batch, sequence))
        self._numbers[part] = number + 1
        self._sequences[part] = sequence + count

    def _send(self, connection: kafka.Connection, batch: Batch, sequence: int) -> "asyncio.Future[Any]":
        producer = (
            {"producer_id": self._producer_id, "producer_epoch": 0, "base_sequence": sequence}
            if self._is_idempotent
            else {}
        )
        now_ms = self._world.clock.wall_ms()
        records = kafka.batch_of(batch.values, now_ms, **producer)
        batch.sent_at_ms, batch.size_bytes = batch.sent_at_ms or now_ms, len(records)
        self._world.trace.event("produce", f"{batch.part} {batch.values[0]} +{len(batch.values)} seq {sequence}")
        return kafka.send_batch(connection, batch.part, records)

    def _told(self, part: Part, batch: Batch, error: ErrorCode, base_offset: int) -> None:
        self._world.trace.event("produced", f"{batch.part} {batch.values[0]} {error.name} @{base_offset}")
        if part in self._world.history.deleted:
            return
        is_oldest = bool(self._open[part]) and self._open[part][0][0] is batch
        if error is ErrorCode.none or (error is ErrorCode.duplicate_sequence_number and self._is_idempotent):
            batch.is_acknowledged, batch.base_offset = True, base_offset
            if is_oldest:
                self._open[part].popleft()
            elif self._is_idempotent:
                self._world.odd(f"{batch.values[0]} was acknowledged before what its producer sent earlier")
        elif error is ErrorCode.out_of_order_sequence_number and not is_oldest:
            pass  # what comes before it has not got there
        elif error not in NOT_NOW:
            self._world.odd(f"{self._client.name} was told {error.name} for {batch.values[0]}")
            self._open[part].clear()


class Consumer:
    """Reads partitions on and on; now and then it begins again somewhere."""

    def __init__(self, world: World, client: Client) -> None:
        self._world = world
        self._client = client
        self._sessions = 0
        self._positions: dict[Part, int] = {}

    async def run(self) -> None:
        self._begin()
        while not self._world.is_over:
            if self._client.rng.random() < 0.04:
                self._begin()
            try:
                await self._poll()
            except Gone:
                self._client.hang_up()
            await self._client.rest(0.2)

    def _begin(self) -> None:
        rng = self._client.rng
        self._sessions += 1
        self._positions = {
            part: rng.choice((0, position, rng.randint(0, position)))
            for part in self._world.parts
            for position in [self._positions.get(part, 0)]
        }

    async def _begin_at_earliest(self, part: Part) -> None:
        """Where records were deleted. A leader that is none any more, and does not know it yet, may also say "out of range"."""
        error, earliest = await self._world.earliest(self._client, part)
        if error is ErrorCode.none and earliest > self._positions[part]:
            self._sessions += 1
            self._positions[part] = earliest

    async def _poll(self) -> None:
        max_bytes = self._client.rng.choice((300, 2_000, 1 << 20))
        self._positions = self._world.left(self._positions)
        found = await kafka.fetch(self._client, self._positions, max_bytes=max_bytes)
        for part, (error, high_watermark, records) in found.items():
            if error is ErrorCode.offset_out_of_range:
                await self._begin_at_earliest(part)
                continue
            if error is not ErrorCode.none:
                if error not in NOT_NOW:
                    self._world.odd(f"{self._client.name} was told {error.name} for {part}")
                continue
            if records:
                session = f"{self._client.name}.{self._sessions}"
                self._world.history.polls.append(
                    Poll(session=session, part=part, position=self._positions[part], found=records)
                )
                self._world.trace.event("polled", f"{session} {part} {records[0].offset} to {records[-1].offset}")
                self._positions[part] = records[-1].offset + 1
                if high_watermark <= records[-1].offset:
                    self._world.odd(f"{session} got {part}@{records[-1].offset}, above the watermark {high_watermark}")


class Deleter:
    """Moves partitions' log starts up, now and then."""

    def __init__(self, world: World, client: Client) -> None:
        self._world = world
        self._client = client

    async def run(self) -> None:
        while not self._world.is_over:
            await self._client.rest(3.0)
            try:
                await self._delete(self._client.rng.choice(self._world.parts))
            except Gone:
                self._client.hang_up()

    async def _delete(self, part: Part) -> None:
        error, end = await kafka.list_offset(self._client, part, kafka.LATEST)
        if error is not ErrorCode.none or not end:
            return
        deletion = Deletion(part=part, before_offset=self._client.rng.randint(end // 2, end))
        self._world.history.deletions.append(deletion)
        error, _ = await kafka.delete_records(self._client, part, deletion.before_offset)
        deletion.is_acknowledged = error is ErrorCode.none
        self._world.trace.event("deleted", f"{part} below {deletion.before_offset} {error.name}")
        # A leader that is none any more may have an older end, or lack the deletions since.
        if error not in (ErrorCode.none, ErrorCode.offset_out_of_range, *NOT_NOW):
            self._world.odd(f"{self._client.name} was told {error.name} for {part}")
