"""Places are bounded, urgent requests overtake, nobody starves, and a waiter that goes away costs no place."""

import asyncio

import pytest

from raylog.storage.object_store import Priority
from raylog.storage.request_gate import AGEING, RequestGate


class Visitors:
    """Tasks that hold a place each until they are told to leave; ``inside`` is in order of entry."""

    def __init__(self, gate: RequestGate) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, priority: Priority) -> None:
        self._leave[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._visit(name, priority))
        await settle()

    async def _visit(self, name: str, priority: Priority) -> None:
        async with self.gate.place(priority):
            self.inside.append(name)
            await self._leave[name].wait()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await self._tasks[name]
        self.inside.remove(name)
        await settle()

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._tasks[name]
        await settle()

    async def end(self) -> None:
        while self.inside:
            await self.leave(self.inside[0])
        assert self.gate.held == 0
        assert self.gate.waiting == 0


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_places_are_held_and_urgent_ones_go_first() -> None:
    visitors = Visitors(RequestGate(2))
    await visitors.come("a", Priority.WAL)
    await visitors.come("b", Priority.WAL)
    await visitors.come("tail", Priority.TAIL)
    await visitors.come("wal 1", Priority.WAL)
    await visitors.come("wal 2", Priority.WAL)
    assert visitors.inside == ["a", "b"]
    assert visitors.gate.waiting == 3
    await visitors.leave("a")
    assert visitors.inside == ["b", "wal 1"]
    await visitors.leave("b")
    assert visitors.inside == ["wal 1", "wal 2"]
    await visitors.leave("wal 1")
    await visitors.leave("wal 2")
    assert visitors.inside == ["tail"]
    await visitors.end()


async def test_bulk_work_leaves_places_free_for_wal_writes() -> None:
    visitors = Visitors(RequestGate(8))
    for number in range(8):
        await visitors.come(f"gc {number}", Priority.BACKGROUND)
        await visitors.come(f"catch-up {number}", Priority.CATCH_UP)
    assert sum(name.startswith("gc") for name in visitors.inside) <= 4
    assert len(visitors.inside) == 6
    await visitors.come("wal", Priority.WAL)
    assert "wal" in visitors.inside
    await visitors.end()


async def test_a_waiter_is_overtaken_only_so_often() -> None:
    visitors = Visitors(RequestGate(1))
    await visitors.come("first", Priority.WAL)
    await visitors.come("patient", Priority.TAIL)
    for number in range(AGEING + 2):
        await visitors.come(f"wal {number}", Priority.WAL)
    overtaken = 0
    while visitors.inside != ["patient"]:
        await visitors.leave(visitors.inside[0])
        overtaken += 1
    assert overtaken <= AGEING + 1
    await visitors.end()


async def test_a_waiter_that_gives_up_leaves_the_queue() -> None:
    visitors = Visitors(RequestGate(1))
    await visitors.come("a", Priority.WAL)
    await visitors.come("b", Priority.WAL)
    await visitors.come("c", Priority.WAL)
    await visitors.give_up("b")
    await visitors.leave("a")
    assert visitors.inside == ["c"]
    await visitors.end()


@pytest.mark.parametrize("is_given_before", [True, False])
async def test_a_waiter_that_is_cancelled_in_the_turn_of_its_place_costs_no_place(is_given_before: bool) -> None:
    """The waiter's task does not run between the two: it has been given the place, or is still in the queue."""
    gate = RequestGate(1)
    entered: list[str] = []

    async def visit(name: str) -> None:
        async with gate.place(Priority.WAL):
            entered.append(name)

    async with gate.place(Priority.WAL):
        unlucky = asyncio.create_task(visit("unlucky"))
        lucky = asyncio.create_task(visit("lucky"))
        await settle()
        if not is_given_before:
            unlucky.cancel()
    unlucky.cancel()
    await asyncio.gather(unlucky, lucky, return_exceptions=True)
    assert unlucky.cancelled()
    assert entered == ["lucky"]
    assert (gate.held, gate.waiting) == (0, 0)
