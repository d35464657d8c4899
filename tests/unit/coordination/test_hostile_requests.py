"""Whatever a client sends, the coordinator answers it, and what it appends can be read back."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages
from raylog.coordination.messages import LeavingMember, OffsetToCommit, TopicPartitions

LONG = "x" * 40_000
WIDE = "ß" * 20_000
TEXTS = ("", "a", "b", "consumer", "range", WIDE, LONG, "\0", "a-1", "client-2")
NUMBERS = (-(2**31), -1, 0, 1, 2, 10_000, 2**31 - 1)
LARGE_NUMBERS = (-(2**63), -1, 0, 1, 2**63 - 1)
BYTES = (b"", b"\0", b"\0\1\0\0\0\1\0\1t", b"\xff" * 100, b"z" * 600_000)


class Attacker:
    """Makes requests of the right types, and little else right; some are about members that there are."""

    def __init__(self, seed: int, driver: Any) -> None:
        self.rng = random.Random(seed)
        self.driver = driver

    @property
    def group(self) -> Any:
        return self.driver.core.groups.get("g")

    def member_id(self) -> str:
        known = [] if self.group is None else [*self.group.members, *self.group.pending_join]
        return self.rng.choice(known) if known and self.rng.random() < 0.7 else self.text()

    def generation(self) -> int:
        known = self.group is not None and self.rng.random() < 0.8
        return self.group.generation if known else self.number()

    def protocols(self) -> tuple[tuple[str, bytes], ...]:
        return self.some(self.named_bytes) if self.rng.random() < 0.3 else (("range", self.rng.choice(BYTES[:4])),)

    def text(self) -> str:
        return self.rng.choice(TEXTS)

    def nullable(self) -> str | None:
        return self.rng.choice((None, None, *TEXTS))

    def number(self) -> int:
        return self.rng.choice(NUMBERS)

    def some(self, make: Callable[[], Any]) -> tuple[Any, ...]:
        return tuple(make() for _ in range(self.rng.randrange(4)))

    def topics(self) -> tuple[TopicPartitions, ...]:
        return self.some(lambda: TopicPartitions(topic=self.rng.choice("tu"), partitions=self.some(self.number)))

    def offset(self) -> OffsetToCommit:
        return OffsetToCommit(
            topic=self.rng.choice("tu"),
            topic_id=self.rng.choice((None, UUID(int=1), UUID(int=2))),
            partition=self.number(),
            offset=self.rng.choice(LARGE_NUMBERS),
            leader_epoch=self.number(),
            metadata=self.text(),
        )

    def named_bytes(self) -> tuple[str, bytes]:
        return self.text(), self.rng.choice(BYTES)

    def request(self) -> dict[str, Any]:
        rng = self.rng
        instance_id = self.nullable() if rng.random() < 0.3 else None
        member = {"member_id": self.member_id(), "group_instance_id": instance_id}
        match rng.randrange(12):
            case 0 | 1 | 2 | 3:
                return {
                    **member,
                    **({"member_id": ""} if rng.random() < 0.3 else {}),
                    "request_type": messages.JoinGroup,
                    "client_id": rng.choice(("a", "b", "c", "d", self.text())),
                    "client_host": rng.choice(("a", "b", "c", "d", self.text())),
                    "session_timeout_ms": rng.choice((-1, 10_000, 10_000, 10_000, 2**31 - 1)),
                    "rebalance_timeout_ms": rng.choice((10_000, 10_000, self.number())),
                    "protocol_type": "consumer" if rng.random() < 0.9 else self.text(),
                    "protocols": self.protocols(),
                    "requires_member_id": rng.random() < 0.5,
                    "supports_skip_assignment": rng.random() < 0.5,
                    "new_member_uuid": str(rng.random()),
                }
            case 4 | 5:
                return {
                    **member,
                    "request_type": messages.SyncGroup,
                    "generation": self.generation(),
                    "assignments": self.some(self.named_bytes),
                }
            case 6:
                return {**member, "request_type": messages.Heartbeat, "generation": self.generation()}
            case 7:
                leaving = self.some(
                    lambda: LeavingMember(member_id=self.member_id(), group_instance_id=self.nullable())
                )
                return {"request_type": messages.LeaveGroup, "members": leaving}
            case 8:
                return {
                    **member,
                    "request_type": messages.CommitOffsets,
                    "generation": self.generation(),
                    "retention_ms": rng.choice((None, 0, 2**63 - 1)),
                    "offsets": self.some(self.offset),
                }
            case 9:
                return {"request_type": messages.FetchOffsets, "topics": rng.choice((None, self.topics()))}
            case 10:
                return {"request_type": messages.DeleteOffsets, "topics": self.topics()}
            case _:
                return {"request_type": rng.choice((messages.DescribeGroup, messages.DeleteGroup))}


def test_everything_is_answered_and_read_back(make_driver: Callable[..., Any]) -> None:
    states = set()
    for seed in range(60):
        driver = make_driver(initial_rebalance_delay_ms=0)
        attacker = Attacker(seed, driver)
        tokens = []
        for _ in range(500):
            group_id = attacker.text() if attacker.rng.random() < 0.1 else "g"
            tokens.append(driver.ask(**attacker.request(), group_id=group_id))
            driver.advance(attacker.rng.choice((0, 0, 0, 1_000, 4_000)))
            states.add(attacker.group and attacker.group.state.value)
        driver.advance(3 * 2**31)
        assert [token for token in tokens if token not in driver.answers] == [], seed
        successor = driver.crash()
        listed = {group.group_id for group in driver.call(messages.ListGroups).groups}
        assert {group.group_id for group in successor.call(messages.ListGroups).groups} == listed, seed
        for group_id in listed:
            everything = {"topics": None, "group_id": group_id}
            found, known = (each.call(messages.FetchOffsets, **everything) for each in (successor, driver))
            assert found == known, seed
    assert states >= {"PreparingRebalance", "CompletingRebalance", "Stable", "Empty"}


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": LONG},
        {"client_id": WIDE},
        {"client_host": LONG},
        {"group_instance_id": LONG},
        {"protocols": ((LONG, b""),)},
        {"protocol_type": LONG},
    ],
)
def test_texts_that_no_record_can_hold_are_refused(driver: Any, change: dict[str, Any]) -> None:
    assert driver.answer(driver.join(**change)).error is ErrorCode.invalid_request


def test_group_names_that_no_record_can_hold_are_refused(driver: Any) -> None:
    assert driver.answer(driver.join(group_id=LONG)).error is ErrorCode.invalid_group_id
    assert driver.commit_error(1, group_id=WIDE) is ErrorCode.invalid_group_id


def test_a_large_commit_is_appended_in_several_batches(make_driver: Any) -> None:
    driver = make_driver(append_bytes_max=1_000)
    driver.holds_appends = True
    offsets = tuple(OffsetToCommit(topic="t", topic_id=None, partition=at, offset=at) for at in range(100))
    token = driver.ask(messages.CommitOffsets, offsets=offsets)
    count = len(driver.under_way)
    assert count > 3
    driver.settle(count - 1)
    assert token not in driver.answers
    driver.settle()
    assert driver.answer(token).errors == (ErrorCode.none,) * 100
    assert driver.crash().committed(topic="t", partition=99) == 99


def test_a_generation_that_is_too_large_for_a_record_is_refused(make_driver: Any) -> None:
    driver = make_driver(initial_rebalance_delay_ms=0, group_record_bytes_max=1_000)
    first, second = (driver.new_member() for _ in range(2))
    driver.advance(1)
    waiting = driver.sync(second[0], 1)
    refused = driver.answer(driver.sync(first[0], 1, {first[0]: b"a" * 1_000}))
    assert refused.error is driver.answer(waiting).error is ErrorCode.unknown_server_error
    assert driver.state() == "PreparingRebalance"
    tokens = [driver.join(member) for member, _ in (first, second)]
    assert [driver.answer(token).generation for token in tokens] == [2, 2]
    assert driver.answer(driver.sync(first[0], 2, {first[0]: b"a"})).assignment == b"a"
