"""Random interleavings of several writers on a bucket that delays, loses and reorders: nothing acknowledged is ever lost."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raylog.model.errors import FencedError
from raylog.model.limits import LogLimits
from raylog.storage.fenced_log import FencedLog

WRITERS = 3

ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, WRITERS - 1)),
    st.tuples(st.just("append"), st.just(0)),
    st.tuples(st.just("open"), st.integers(0, WRITERS - 1)),
    st.tuples(st.sampled_from(["respond", "respond", "apply", "lose"]), st.integers(0, 20)),
    st.tuples(st.just("respond"), st.just(-1)),  # the newest request
)


@dataclass
class Writer:
    """One opening of the log and what it was told."""

    name: str
    log: FencedLog
    opening: asyncio.Task[None] | None = None
    replayed: list[tuple[int, bytes]] = field(default_factory=list)
    appends: list[asyncio.Task[int]] = field(default_factory=list)
    acknowledged: list[tuple[int, bytes]] = field(default_factory=list)
    """In the order of the acknowledgements."""
    fenced: bool = False

    async def open(self) -> None:
        async for slot in self.log.open(None):
            if slot.meta:
                self.replayed.append((slot.number, slot.meta))

    def payload(self, i: int) -> bytes:
        return f"{self.name}.{i}".encode()

    def append(self) -> None:
        payload = self.payload(len(self.appends))
        self.appends.append(asyncio.create_task(self._append(payload)))

    async def _append(self, payload: bytes) -> int:
        try:
            slot = await self.log.append([b"body"], payload)
        except FencedError:
            self.fenced = True
            raise
        assert not self.fenced, "acknowledged after a fence"
        self.acknowledged.append((slot, payload))
        return slot


async def run(bench, actions) -> None:
    bench.limits = LogLimits(replay_prefetch=2, retry_delay_s_min=0.001, retry_delay_s_max=0.001)
    store = bench.store
    store.held = True
    current: list[Writer | None] = [None] * WRITERS
    everyone: list[Writer] = []

    # A first writer, so that the interesting part begins at once.
    for what, which in [("open", 0), ("respond", 0), *actions]:
        if what == "open":
            writer = Writer(f"w{len(everyone)}", bench.writer())
            writer.opening = asyncio.create_task(writer.open())
            everyone.append(writer)
            current[which] = writer  # the former one lives on as a zombie
        elif what == "append":
            writer = current[which]
            if writer is not None and writer.opening.done():
                for _ in range(3):
                    writer.append()
        elif waiting := [put for put in store.puts if not (put.answer.done() and put.applied)]:
            # "lose" without "apply" before it leaves a request that may still land, long after its sender gave up.
            getattr(waiting[which % len(waiting)], what)()
        await bench.settle()

    for _ in range(400):
        waiting = [put for put in store.puts if not put.answer.done()]
        if not waiting:
            break
        for put in waiting:
            put.respond()
        await bench.settle()
    assert all(task.done() for writer in everyone for task in [writer.opening, *writer.appends])
    store.held = False
    _, slots = await bench.open()
    for put in store.puts:
        put.apply()
    replay = [(slot.number, slot.meta) for slot in slots if slot.meta]
    _, slots = await bench.open()
    assert replay == [(slot.number, slot.meta) for slot in slots if slot.meta], "a late put changed history"
    check(everyone, replay)
    for writer in everyone:
        await writer.log.close()
        ends = await asyncio.gather(*writer.appends, return_exceptions=True)
        assert all(isinstance(end, int | FencedError) for end in ends), ends


def check(everyone, replay) -> None:
    epochs = [writer.log.epoch for writer in everyone]
    assert len(set(epochs)) == len(epochs), "two openings got one epoch"
    for writer in everyone:
        mine = [(slot, payload) for slot, payload in replay if payload.startswith(writer.name.encode() + b".")]
        # Of each writer the log has its first appends, in order, none left out; the acknowledged ones are the first of these.
        assert [payload for _, payload in mine] == [writer.payload(i) for i in range(len(mine))]
        assert writer.acknowledged == mine[: len(writer.acknowledged)]
        # What it replayed before it began is what the log says for ever.
        assert writer.replayed == [(slot, payload) for slot, payload in replay if slot < writer.log.open_slot]
    # And the writers come one after another, by epoch: once a successor wrote, its predecessor is out.
    order = {writer.name: writer.log.epoch for writer in everyone}
    in_log = [order[payload.decode().split(".")[0]] for _, payload in replay]
    assert in_log == sorted(in_log)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 3), actions=st.lists(ACTIONS, max_size=80))
def test_whatever_the_order_acknowledged_appends_are_replayed(new_bench, seed, actions):
    asyncio.run(run(new_bench(seed), actions))
