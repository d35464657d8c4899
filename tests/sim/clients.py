"""Producers, consumers and group members: small coroutines that never give up, and write down what they were told."""

import asyncio
import json
from collections import defaultdict, deque
from typing import Any

from kio.schema.errors import ErrorCode

from raylog.protocol.wire import ms
from tests.sim import kafka
from tests.sim.clock import SimClock
from tests.sim.history import Batch, Commit, CommittedRead, History, Poll
from tests.sim.kafka import Client, Gone, Part, part_of
from tests.sim.trace import Trace

NOT_NOW = {
    ErrorCode.not_leader_or_follower,
    ErrorCode.leader_not_available,
    ErrorCode.unknown_topic_or_partition,
    ErrorCode.request_timed_out,
    ErrorCode.kafka_storage_error,
}
"""What a client tries again after."""
GROUP_NOT_NOW = {
    *NOT_NOW,
    ErrorCode.coordinator_not_available,
    ErrorCode.coordinator_load_in_progress,
    ErrorCode.not_coordinator,
}
GROUP_AGAIN = {
    ErrorCode.rebalance_in_progress,
    ErrorCode.illegal_generation,
    ErrorCode.unknown_member_id,
    ErrorCode.fenced_instance_id,
}
_SUBSCRIPTION = b"\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"
_MEMBER_PATIENCE_S = 8.0


class World:
    """What clients share."""

    def __init__(self, clock: SimClock, history: History, trace: Trace, parts: list[Part]) -> None:
        self.clock = clock
        self.history = history
        self.trace = trace
        self.parts = parts
        self.is_over = False
        """Clients finish what they are at, and stop."""

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
        self._world.trace.event("produce", f"{batch.part} {batch.values[0]} +{len(batch.values)} seq {sequence}")
        return kafka.send_batch(connection, batch.part, batch.values, self._world.clock.wall_ms(), **producer)

    def _told(self, part: Part, batch: Batch, error: ErrorCode, base_offset: int) -> None:
        self._world.trace.event("produced", f"{batch.part} {batch.values[0]} {error.name} @{base_offset}")
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

    async def _poll(self) -> None:
        max_bytes = self._client.rng.choice((300, 2_000, 1 << 20))
        found = await kafka.fetch(self._client, self._positions, max_bytes=max_bytes)
        for part, (error, high_watermark, records) in found.items():
            if error is not ErrorCode.none:
                # Out of range may be said by a leader that is none any more, and does not know it yet.
                if error not in (*NOT_NOW, ErrorCode.offset_out_of_range):
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


class Member:
    """A consumer of a group: joins, reads from what is committed, commits, leaves, and comes again."""

    def __init__(self, world: World, client: Client, group: str) -> None:
        self._world = world
        self._client = client
        self._group = group
        self._member_id = ""
        self._generation = -1
        self._owned: dict[Part, int] = {}
        self._session = 0

    async def run(self) -> None:
        while not self._world.is_over:
            try:
                if await self._join():
                    await self._work()
            except Gone:
                # What it asked for may yet happen: only as another member it can be sure not to meet it.
                self._forget()
                self._client.hang_up()
            await self._client.rest(0.2)

    def _forget(self) -> None:
        self._member_id, self._generation, self._owned = "", -1, {}

    async def _join(self) -> bool:
        connection = await self._client.connection()
        protocol = part_of(kafka.JOIN_GROUP, "JoinGroupRequestProtocol", name="range", metadata=_SUBSCRIPTION)
        answer = await connection.answer(
            connection.send(
                kafka.JOIN_GROUP,
                "JoinGroup",
                group_id=self._group,
                session_timeout=ms(6_000),
                rebalance_timeout=ms(6_000),
                member_id=self._member_id,
                group_instance_id=None,
                protocol_type="consumer",
                protocols=(protocol,),
                reason=None,
            ),
            _MEMBER_PATIENCE_S,
        )
        if answer.error_code is ErrorCode.member_id_required:
            self._member_id = answer.member_id
            return await self._join()
        if not self._is_fine(answer.error_code, "JoinGroup"):
            return False
        self._member_id, self._generation = answer.member_id, answer.generation_id
        plan = ()
        if answer.leader == answer.member_id:
            plan = self._plan(sorted(member.member_id for member in answer.members))
        answer = await connection.answer(
            connection.send(
                kafka.SYNC_GROUP,
                "SyncGroup",
                group_id=self._group,
                generation_id=self._generation,
                member_id=self._member_id,
                group_instance_id=None,
                protocol_type="consumer",
                protocol_name="range",
                assignments=plan,
            ),
            _MEMBER_PATIENCE_S,
        )
        if not self._is_fine(answer.error_code, "SyncGroup"):
            return False
        owned = [Part(*pair) for pair in json.loads(answer.assignment or b"[]")]
        self._world.trace.event("joined", f"{self._client.name} generation {self._generation} {len(owned)} partitions")
        self._owned = await self._committed(owned) if owned else {}
        return len(self._owned) == len(owned)

    def _plan(self, members: list[str]) -> tuple[Any, ...]:
        shares: dict[str, list[Part]] = {member: [] for member in members}
        for number, part in enumerate(self._world.parts):
            shares[members[number % len(members)]].append(part)
        return tuple(
            part_of(kafka.SYNC_GROUP, "SyncGroupRequestAssignment", member_id=member, assignment=json.dumps(s).encode())
            for member, s in shares.items()
        )

    async def _committed(self, parts: list[Part]) -> dict[Part, int]:
        found = await committed_offsets(self._world, self._client, self._group, parts)
        self._session += 1
        return {} if found is None else {part: max(0, offset) for part, offset in found.items()}

    async def _work(self) -> None:
        rng = self._client.rng
        session = f"{self._client.name}.{self._session}"
        while not self._world.is_over:
            if rng.random() < 0.02:
                await self._leave()
                return
            if self._owned:
                for part, (error, _, records) in (await kafka.fetch(self._client, self._owned)).items():
                    if error is ErrorCode.none and records:
                        poll = Poll(session=session, part=part, position=self._owned[part], found=records)
                        self._world.history.polls.append(poll)
                        self._owned[part] = records[-1].offset + 1
                if not await self._commit():
                    return
            if not await self._heartbeat():
                return
            await self._client.rest(0.3)

    async def _commit(self) -> bool:
        world = self._world
        commits = [Commit(group=self._group, part=part, offset=offset) for part, offset in self._owned.items()]
        world.history.commits += commits
        topics = tuple(
            part_of(
                kafka.OFFSET_COMMIT,
                "OffsetCommitRequestTopic",
                name=name,
                partitions=tuple(
                    part_of(
                        kafka.OFFSET_COMMIT,
                        "OffsetCommitRequestPartition",
                        partition_index=commit.part.index,
                        committed_offset=commit.offset,
                        committed_leader_epoch=-1,
                        committed_metadata="",
                    )
                    for commit in commits
                    if commit.part.topic == name
                ),
            )
            for name in sorted({commit.part.topic for commit in commits})
        )
        response = await self._client.ask(
            kafka.OFFSET_COMMIT,
            "OffsetCommit",
            group_id=self._group,
            generation_id_or_member_epoch=self._generation,
            generation_id=self._generation,
            member_id=self._member_id,
            group_instance_id=None,
            topics=topics,
        )
        errors = {answered.error_code for topic in response.topics for answered in topic.partitions}
        world.trace.event(
            "commit", f"{self._client.name} {[c.offset for c in commits]} {[e.name for e in sorted(errors)]}"
        )
        if errors == {ErrorCode.none}:
            for commit in commits:
                commit.acknowledged_at = world.clock.monotonic()
            return True
        for error in sorted(errors):
            self._is_fine(error, "OffsetCommit")
        self._forget()
        return False

    async def _heartbeat(self) -> bool:
        answer = await self._client.ask(
            kafka.HEARTBEAT,
            "Heartbeat",
            group_id=self._group,
            generation_id=self._generation,
            member_id=self._member_id,
            group_instance_id=None,
        )
        return self._is_fine(answer.error_code, "Heartbeat")

    async def _leave(self) -> None:
        member = part_of(
            kafka.LEAVE_GROUP, "MemberIdentity", member_id=self._member_id, group_instance_id=None, reason=None
        )
        await self._client.ask(kafka.LEAVE_GROUP, "LeaveGroup", group_id=self._group, members=(member,))
        self._forget()

    def _is_fine(self, error: ErrorCode, asked: str) -> bool:
        if error in (ErrorCode.unknown_member_id, ErrorCode.illegal_generation, ErrorCode.fenced_instance_id):
            self._forget()
        elif error not in (ErrorCode.none, *GROUP_NOT_NOW, *GROUP_AGAIN):
            self._world.odd(f"{self._client.name} was told {error.name} by {asked}")
        return error is ErrorCode.none


async def committed_offsets(world: World, client: Client, group: str, parts: list[Part]) -> dict[Part, int] | None:
    """A group's offsets, -1 where there is none; None when nobody can say now. Raises Gone."""
    asked_at = world.clock.monotonic()
    topics = tuple(
        part_of(
            kafka.OFFSET_FETCH,
            "OffsetFetchRequestTopics",
            name=name,
            partition_indexes=tuple(part.index for part in parts if part.topic == name),
        )
        for name in sorted({part.topic for part in parts})
    )
    asked = part_of(kafka.OFFSET_FETCH, "OffsetFetchRequestGroup", group_id=group, topics=topics)
    response = await client.ask(kafka.OFFSET_FETCH, "OffsetFetch", groups=(asked,), require_stable=True)
    answered = response.groups[0]
    if answered.error_code is not ErrorCode.none:
        if answered.error_code not in GROUP_NOT_NOW:
            world.odd(f"{client.name} was told {answered.error_code.name} by OffsetFetch")
        return None
    found = {}
    for topic in answered.topics:
        for partition in topic.partitions:
            if partition.error_code is not ErrorCode.none:
                return None
            found[Part(topic.name, partition.partition_index)] = partition.committed_offset
    for part, offset in found.items():
        world.history.committed.append(CommittedRead(group=group, part=part, offset=offset, asked_at=asked_at))
    world.trace.event("committed", f"{client.name} {list(found.values())}")
    return found
