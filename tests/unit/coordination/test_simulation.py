"""Naive consumers come, go, crash and restart while coordinators change under them; seeded, so that a failure repeats.

What must hold at every moment: no partition has two owners within one generation; what is committed never goes back. And once
nothing fails any more: every consumer is in, of one generation, and every partition is owned.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages

PARTITIONS = 6
TICK_MS = 500
SEEDS = 8
REJOIN = (ErrorCode.rebalance_in_progress,)
RESET = (ErrorCode.unknown_member_id, ErrorCode.fenced_instance_id, ErrorCode.illegal_generation)


@dataclass
class Consumer:
    """A client as simple as they come: join, sync, then heartbeat and commit what it owns, one further each time."""

    name: str
    world: "World"
    instance_id: str | None = None
    member_id: str = ""
    generation: int = -1
    owned: dict[int, int] = field(default_factory=dict)
    """Next offset by partition."""
    waits_for: int | None = None
    """Token of the request under way."""
    phase: str = "join"
    is_running: bool = True

    def rejoin(self, *, reset: bool = False) -> None:
        self.phase, self.waits_for, self.owned = "join", None, {}
        if reset:
            self.member_id, self.generation = "", -1

    def tick(self) -> None:
        """Look for an answer; without a request under way make the next one."""
        driver = self.world.driver
        if self.waits_for is not None:
            if self.waits_for not in driver.answers:
                return
            answer, self.waits_for = driver.answers[self.waits_for], None
            getattr(self, f"on_{self.phase}")(answer)
        if self.waits_for is None and self.is_running:
            self.waits_for = getattr(self, f"ask_{self.phase}")()

    def ask_join(self) -> int:
        self.world.uuids += 1
        return self.world.driver.join(
            self.member_id,
            group_instance_id=self.instance_id,
            new_member_uuid=str(self.world.uuids),
            client_id=self.name,
            rebalance_timeout_ms=15_000,
        )

    def on_join(self, answer: Any) -> None:
        if answer.error is ErrorCode.member_id_required:
            self.member_id = answer.member_id
        elif answer.error in RESET:
            self.rejoin(reset=True)
        elif answer.error is ErrorCode.none:
            self.member_id, self.generation, self.phase = answer.member_id, answer.generation, "sync"
            self.plan = {}
            if answer.leader == answer.member_id and not answer.skip_assignment:
                names = sorted(member.member_id for member in answer.members)
                for partition in range(PARTITIONS):
                    owner = names[partition % len(names)]
                    self.plan[owner] = self.plan.get(owner, b"") + bytes([partition])

    def ask_sync(self) -> int:
        return self.world.driver.sync(self.member_id, self.generation, self.plan, group_instance_id=self.instance_id)

    def on_sync(self, answer: Any) -> None:
        if answer.error is not ErrorCode.none:
            self.rejoin(reset=answer.error in RESET)
            return
        self.phase = "fetch"
        self.assigned = tuple(answer.assignment)

    def ask_fetch(self) -> int:
        wanted = messages.TopicPartitions(topic="orders", partitions=self.assigned)
        return self.world.driver.ask(messages.FetchOffsets, topics=(wanted,))

    def on_fetch(self, answer: Any) -> None:
        self.owned = {found.partition: max(found.offset, 0) for found in answer.topics[0].offsets}
        self.phase = "heartbeat"

    def ask_heartbeat(self) -> int:
        return self.world.driver.ask(
            messages.Heartbeat,
            member_id=self.member_id,
            generation=self.generation,
            group_instance_id=self.instance_id,
        )

    def on_heartbeat(self, answer: Any) -> None:
        if answer.error is not ErrorCode.none:
            self.rejoin(reset=answer.error in RESET)
        elif self.owned:
            self.phase = "commit"

    def ask_commit(self) -> int:
        self.owned = {partition: offset + 1 for partition, offset in self.owned.items()}
        request = self.commit_request()
        if self.world.rng.randrange(4) == 0:
            self.world.late.append((self, request))
        return self.world.driver.ask(messages.CommitOffsets, **request)

    def commit_request(self) -> dict[str, Any]:
        offsets = [
            messages.OffsetToCommit(topic="orders", topic_id=None, partition=partition, offset=offset)
            for partition, offset in self.owned.items()
        ]
        return {
            "member_id": self.member_id,
            "generation": self.generation,
            "group_instance_id": self.instance_id,
            "offsets": tuple(offsets),
        }

    def on_commit(self, answer: Any) -> None:
        self.phase = "heartbeat"
        (error,) = set(answer.errors)
        if error is not ErrorCode.none:
            self.rejoin(reset=error in RESET)


class World:
    def __init__(self, driver: Any, rng: random.Random) -> None:
        self.driver = driver
        self.rng = rng
        self.uuids = 0
        self.names = 0
        self.consumers: list[Consumer] = []
        self.late: list[tuple[Consumer, dict[str, Any]]] = []
        """Commits that the network may yet deliver, of connections that were given up."""
        self.committed = dict.fromkeys(range(PARTITIONS), -1)

    def add(self, instance_id: str | None = None) -> None:
        self.names += 1
        self.consumers.append(Consumer(f"consumer{self.names}", self, instance_id))

    def disturb(self) -> None:
        rng = self.rng
        running = [consumer for consumer in self.consumers if consumer.is_running]
        match rng.randrange(40):
            case 0 if len(running) < 6:
                self.add(rng.choice((None, f"static{rng.randrange(3)}")))
            case 1 if running:
                self.consumers.remove(rng.choice(running))  # killed: never heard of again
            case 2 if running:
                leaving = rng.choice(running)
                self.consumers.remove(leaving)
                member = messages.LeavingMember(member_id=leaving.member_id, group_instance_id=leaving.instance_id)
                self.driver.ask(messages.LeaveGroup, members=(member,))
            case 3 if running:
                rng.choice(running).is_running = False  # a long pause: it keeps believing what it knows
            case 4:
                for consumer in self.consumers:
                    consumer.is_running = True
            case 5:
                self.change_coordinator()
            case 6 if running:
                rng.choice(running).rejoin()
            case 7:
                self.driver.holds_appends = True
            case 10 | 11 | 12 if self.late:
                self.deliver_late()
            case 8 | 9:
                self.driver.holds_appends = False
                self.driver.settle()
            case _:
                self.driver.settle(rng.randrange(3))

    def deliver_late(self) -> None:
        """A commit of a generation that its sender has left by now."""
        consumer, request = self.late.pop(self.rng.randrange(len(self.late)))
        if consumer.generation != request["generation"] and consumer.phase == "heartbeat":
            self.driver.ask(messages.CommitOffsets, **{**request, "member_id": consumer.member_id})

    def change_coordinator(self) -> None:
        self.driver = self.driver.crash()
        for consumer in self.consumers:
            if consumer.waits_for is None:
                continue
            # Its request has failed, done or not: it asks again, and what it was about to do it has not done.
            consumer.waits_for = None
            if consumer.phase == "commit":
                consumer.rejoin()

    def step(self) -> None:
        self.driver.advance(TICK_MS)
        for consumer in list(self.consumers):
            if consumer.is_running:
                consumer.tick()
        self.check()

    def check(self) -> None:
        owners: dict[tuple[int, int], str] = {}
        for consumer in self.consumers:
            # Two of one instance id may both believe until the earlier hears that it is fenced; it cannot commit.
            owner = consumer.instance_id or consumer.name
            for partition in consumer.owned:
                known = owners.setdefault((consumer.generation, partition), owner)
                assert known == owner, f"{owner} and {known} own partition {partition}"
        durable = self.driver.crash().core.offsets.get("readers")
        for partition, known in self.committed.items():
            found = durable.get("orders", partition) if durable else None
            offset = -1 if found is None else found.offset
            assert offset >= known, f"the committed offset of {partition} went back from {known} to {offset}"
            self.committed[partition] = offset

    def is_at_rest(self) -> bool:
        generations = {consumer.generation for consumer in self.consumers}
        owned = sorted(partition for consumer in self.consumers for partition in consumer.owned)
        return len(generations) == 1 and owned == list(range(PARTITIONS))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_consumers_come_and_go(make_driver: Callable[..., Any], seed: int) -> None:
    rng = random.Random(seed)
    driver = make_driver(rewrite_bytes_min=20_000, rewrite_chunk_bytes=1_000, rewrite_factor=2)
    world = World(driver, rng)
    for _ in range(3):
        world.add()
    for _ in range(300):
        world.disturb()
        world.step()

    world.driver.holds_appends = False
    world.driver.settle()
    taken: dict[str | None, Consumer] = {}
    for consumer in list(world.consumers):
        consumer.is_running = True
        if consumer.instance_id is not None and taken.setdefault(consumer.instance_id, consumer) is not consumer:
            world.consumers.remove(consumer)  # two with one name would fence each other for ever
    if not world.consumers:
        world.add()
    before = dict(world.committed)
    for _ in range(200):
        world.step()
    assert world.is_at_rest()
    assert all(world.committed[partition] > before[partition] for partition in before)
