"""Group members: they join, read on from what is committed, commit, leave, and come again."""

import json
from typing import Any

from kio.schema.errors import ErrorCode

from lab.history.history import Commit, CommittedRead, Poll
from raylog.protocol.wire import ms
from tests.sim import kafka
from tests.sim.clients import NOT_NOW, World
from tests.sim.kafka import Client, Gone, Part, part_of

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
        owned = list(self._world.left({Part(*pair): 0 for pair in json.loads(answer.assignment or b"[]")}))
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

    def _session_name(self) -> str:
        return f"{self._client.name}.{self._session}"

    async def _begin_at_earliest(self, part: Part) -> str:
        error, earliest = await self._world.earliest(self._client, part)
        if error is ErrorCode.none and earliest > self._owned[part]:
            self._session += 1
            self._owned[part] = earliest
        return self._session_name()

    async def _work(self) -> None:
        rng = self._client.rng
        session = self._session_name()
        while not self._world.is_over:
            if rng.random() < 0.02:
                await self._leave()
                return
            self._owned = self._world.left(self._owned)
            if self._owned:
                for part, (error, _, records) in (await kafka.fetch(self._client, self._owned)).items():
                    if error is ErrorCode.offset_out_of_range:
                        session = await self._begin_at_earliest(part)
                    elif error is ErrorCode.none and records:
                        poll = Poll(
                            session=session, part=part, position=self._owned[part], found=records, group=self._group
                        )
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
        world.history.committed.append(
            CommittedRead(group=group, part=part, offset=offset, asked_at=asked_at, answered_at=world.clock.monotonic())
        )
    world.trace.event("committed", f"{client.name} {list(found.values())}")
    return found
