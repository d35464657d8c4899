"""What a gateway tells of the processor that it takes."""

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.cpu_report import report_cpu
from raylog.model.errors import RetryError
from raylog.model.limits import BalanceLimits
from raylog.model.load import ProcessUsage


@dataclass
class World:
    """A controller that is told, and a clock that an event of the test moves on."""

    used_s: list[float]
    told: list[tuple[str, int, float]] = field(default_factory=list)
    away: int = 0
    now_s: float = 0.0

    def usage(self) -> ProcessUsage:
        return ProcessUsage(self.used_s.pop(0), 0)

    async def sleep(self, seconds: float) -> None:
        if not self.used_s:
            raise asyncio.CancelledError
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s

    async def report_gateway(self, node_id: str, index: int, cpu: float) -> None:
        if self.away:
            self.away -= 1
            raise RetryError("The controller is away.")
        self.told.append((node_id, index, cpu))

    async def run(self) -> list[float]:
        limits = BalanceLimits(report_s=10.0, half_life_s=10.0)
        with pytest.raises(asyncio.CancelledError):
            await report_cpu(self, "a", 1, usage=self.usage, clock=self, limits=limits)  # type: ignore[arg-type]
        assert all((node, index) == ("a", 1) for node, index, _ in self.told)
        return [cpu for _, _, cpu in self.told]


async def test_the_rate_is_smoothed_and_what_came_before_is_not_in_it() -> None:
    assert await World([100.0, 108.0, 108.0, 108.0]).run() == pytest.approx([0.8, 0.4, 0.2])


async def test_a_report_that_gets_lost_is_made_up_for_by_the_next() -> None:
    assert await World([0.0, 8.0, 8.0], away=1).run() == pytest.approx([0.4])
