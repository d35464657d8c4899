"""When garbage is collected, and what a failed round changes: nothing but the log."""

import asyncio
import logging
from uuid import UUID

import pytest

from controller.garbage_rounds import collect_in_rounds
from raylog.model.errors import CorruptError, RetryError
from raylog.model.ids import TopicId, TopicPartition
from raylog.model.logs import role_logger

LED = frozenset([TopicPartition(TopicId(UUID(int=1)), 0)])


class StopAfter:
    """A clock that notes what is slept, and ends the test when it has slept enough."""

    def __init__(self, sleeps: int) -> None:
        self.left = sleeps
        self.slept: list[float] = []

    def wall_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return sum(self.slept)

    def boottime(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        if not self.left:
            raise asyncio.CancelledError
        self.left -= 1
        self.slept.append(seconds)


async def test_rounds_go_on_whatever_a_round_meets(caplog):
    rounds: list[frozenset[TopicPartition]] = []
    errors = iter([RetryError("The bucket is away."), CorruptError("A slot is broken."), None])

    async def collect(led):
        rounds.append(led)
        if error := next(errors):
            raise error

    clock = StopAfter(3)
    with caplog.at_level(logging.INFO, "raylog"), pytest.raises(asyncio.CancelledError):
        await collect_in_rounds(collect, lambda: LED, clock=clock, interval_s=100, log=role_logger("controller"))
    assert rounds == [LED] * 3
    assert clock.slept == [10, 100, 100]
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]


async def test_a_controller_that_does_not_serve_skips_the_round():
    async def collect(led):
        raise AssertionError("it is not known what is led")

    def led():
        raise RetryError("The controller is not serving.")

    with pytest.raises(asyncio.CancelledError):
        await collect_in_rounds(collect, led, clock=StopAfter(2), interval_s=100, log=role_logger("controller"))
