"""Directed trouble, for what random trouble meets too seldom. Each is a ``trouble`` of a run whose shape goes with it."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from controller.controller import Controller
from raylog.leader.leader import Leader
from raylog.model.admin import ConfigAlteration, ConfigChange
from raylog.model.errors import InvalidError, RetryError
from raylog.model.limits import BalanceLimits
from raylog.storage.keys import LEADERS_PREFIX, UPLOADS_PREFIX
from tests.sim.cluster import SPILLING_BYTES, Shape, limits
from tests.sim.control import ControllerClient
from tests.sim.garbage import ROLE
from tests.sim.loop import Process
from tests.sim.nemesis import Nemesis
from tests.sim.run import Run, random_trouble

_IDS = 400
"""At once: so many that those of two controllers overlap, whatever blocks gateways have taken between."""
OUTAGE_S = 120.0

LIVE_TAKEOVERS_SHAPE = Shape(gateways=1, leaders_per_class=1, wal_classes=("file",), is_wal_shared=True)
CROSSED_TAKEOVERS_SHAPE = replace(LIVE_TAKEOVERS_SHAPE, wal_spares_max=1)
SLEEPING_CONTROLLER_SHAPE = Shape(gateways=1, leaders_per_class=1, limits=limits(checkpoint_slots=1, trim_grace_s=1.5))
COLLECTED_CONTROLLER_SHAPE = Shape(
    gateways=1,
    leaders_per_class=1,
    limits=limits(checkpoint_slots=1, trim_grace_s=30.0, garbage_interval_s=0.2),
)
"""The sleep is too short for the sleeper to distrust itself: only the age of garbage keeps its next number taken."""
OUTAGE_SHAPE = Shape(gateways=1, leaders_per_class=1)
SPILLING_SHAPE = Shape(
    gateways=1, leaders_per_class=1, wal_classes=("file",), limits=limits(unflushed_bytes_max=SPILLING_BYTES)
)
INTERRUPTED_RELEASE_SHAPE = Shape(gateways=1, wal_classes=("object",))
MOVES_SHAPE = Shape(gateways=1, wal_classes=("file",), wal_segment_bytes=1 << 20)
BALANCED_SHAPE = Shape(
    leaders_per_class=3,
    broker_configs={
        **Shape().broker_configs,
        "leader.imbalance.check.interval.seconds": "1",
        "leader.imbalance.per.broker.percentage": "5",
    },
    limits=replace(
        limits(),
        balance=BalanceLimits(
            report_s=0.9,
            half_life_s=1.0,
            move_bytes_min=2_000,
            move_partitions_min=1,
            moves_max=2,
            rest_s=2.0,
            move_s_max=3.0,
        ),
    ),
)
"""Loads of clients that write ten times a second are worth a move; so are idle partitions."""
ZONES_SHAPE = Shape(
    gateways=3,
    wal_classes=("file", "object"),
    has_zones=True,
    limits=limits(checkpoint_slots=3, trim_grace_s=60.0, garbage_interval_s=2.0),
)
"""Nobody sleeps for a good part of the grace: whoever does may refer to uploads that are gone."""
_UPLOADS_GRACE_S = 4.0
LATE_REFERENCES_SHAPE = Shape(
    gateways=3,
    wal_classes=("object",),
    has_zones=True,
    limits=replace(
        limits(checkpoint_slots=3, trim_grace_s=_UPLOADS_GRACE_S, garbage_interval_s=0.5),
        controller=replace(limits().controller, leader_silence_s_max=30.0),
    ),
)
"""Nobody takes the place of a leader that sleeps for longer than the grace: only the time keeps it from naming what is gone."""
DRAINED_SHAPE = Shape(gateways=3, has_nodes=True)
RESTING_SHAPE = Shape(leaders_rest=True)
SLEEPING_COLLECTOR_SHAPE = Shape(
    gateways=1,
    wal_classes=("object",),
    limits=limits(checkpoint_slots=1, trim_grace_s=1.0, garbage_interval_s=1.0),
)


CHECKPOINT_ROWS = 40
SHORT_TAILS_SHAPE = Shape(
    gateways=1,
    leaders_per_class=1,
    limits=replace(
        limits(),
        leader=replace(limits().leader, checkpoint_slots=1_000_000, checkpoint_rows=CHECKPOINT_ROWS),
    ),
)
"""Checkpoints fall due by rows alone."""


async def live_takeovers(run: Run) -> None:
    """Successors come up beside leaders that are in the middle of their commits: the taker's look at the WAL and the
    writer's look at the fence meet in every order."""
    cluster = run.cluster
    for _ in range(25):
        await asyncio.sleep(run.rng.uniform(0.2, 0.7))
        for leader_id in sorted(cluster.leaders):
            cluster.usurp(leader_id)
            cluster.disks[leader_id].stir(0.15)


async def crossed_takeovers(run: Run) -> None:
    """Two successors take a sleeping leader's WAL over. It wakes and syncs a last commit when the second has read and the first,
    held up, has not: only the first finds that, which is fenced already. Then the second sleeps, and the first has readers."""
    cluster = run.cluster

    def hold_up(old: Process) -> Callable[[Process], None]:
        takers: list[Process] = []

        def strike(taker: Process) -> None:
            takers.append(taker)
            if len(takers) == 1:
                cluster.pause(old, 0.25)
                cluster.pause(taker, 0.5)
            elif len(takers) == 2:
                cluster.loop.later(run.rng.uniform(0.002, 0.012), cluster.pause, taker, 1.2)

        return strike

    for _ in range(8):
        for leader_id, old in sorted(cluster.leaders.items()):
            cluster.disks[leader_id].ambush = hold_up(old)
            cluster.usurp(leader_id)
            cluster.usurp(leader_id)
        await asyncio.sleep(run.rng.uniform(1.8, 2.4))
    for disk in cluster.disks.values():
        disk.ambush = None


async def sleeping_controller(run: Run) -> None:
    """A controller sleeps, with a call under way, until its log has been taken over and trimmed past its next slot. When it
    wakes, that slot is free again; it must not give out what its successor gave out meanwhile."""
    cluster = run.cluster
    sleeper = cluster.controller
    assert sleeper is not None
    cluster.pause(sleeper, 8.0)
    asker = Process(cluster.loop, "asker", "clients")
    asker.run(_ask_for_ids(run))
    await asyncio.sleep(0.2)
    cluster.usurp_controller()
    for _ in range(12):
        await asyncio.sleep(0.6)
        await asker.run(_ask_for_ids(run))
    await asyncio.sleep(3.0)


async def sleeping_collector(run: Run) -> None:
    """A garbage collection that has read one log stops in the next one for longer than the grace, while leaders write on and
    checkpoint."""
    cluster = run.cluster

    def put_to_sleep(sender: Process, what: str, key: str) -> None:
        if sender.name.startswith(ROLE) and key.startswith("leaders/000002/"):
            cluster.bucket.ambush = None
            cluster.pause(sender, 3.5)

    for _ in range(5):
        cluster.bucket.ambush = put_to_sleep
        await asyncio.sleep(5.0)
    cluster.bucket.ambush = None


async def interrupted_release(run: Run) -> None:
    """Leaders end when the slot by which they hand partitions over is in the bucket, and nobody has heard of it."""
    cluster = run.cluster
    nemesis = Nemesis(cluster, run.rng)
    handing: set[str] = set()

    def strike(sender: Process, what: str, key: str) -> None:
        if "/handover/" in key and what == "put-new":
            handing.add(sender.name)
        elif "/log/" in key and what == "put-new" and sender.name in handing:
            handing.discard(sender.name)
            cluster.kill(sender)

    for _ in range(5):
        cluster.bucket.ambush = strike
        nemesis.move()
        await asyncio.sleep(2.5)
    cluster.bucket.ambush = None


async def interrupted_take_over(run: Run) -> None:
    """Leaders end when they serve what they have taken over, and the bucket has not got the slot that says so: it is away, from
    when the controller has the release. With the WAL records are acknowledged meanwhile."""
    cluster = run.cluster
    nemesis = Nemesis(cluster, run.rng)

    def strike(sender: Process, what: str, key: str) -> None:
        journal = sender.role._journal if isinstance(sender.role, Controller) else None
        if what == "put-new" and journal is not None and any(journal.planned.pending()):
            cluster.bucket.ambush = None
            cluster.bucket.go_away(1.0)
            cluster.loop.later(run.rng.uniform(0.3, 0.9), end_leaders)

    def end_leaders() -> None:
        for process in list(cluster.leaders.values()):
            cluster.kill(process, power_lost=run.rng.random() < 0.5)

    for _ in range(6):
        cluster.bucket.ambush = strike
        nemesis.move()
        await asyncio.sleep(4.0)
    cluster.bucket.ambush = None


async def returning(run: Run) -> None:
    """Partitions move to and fro, and leaders are killed that have had them and do not any more, as their WALs still say."""
    cluster = run.cluster
    nemesis = Nemesis(cluster, run.rng)
    for _ in range(8):
        for _ in range(run.rng.randint(1, 3)):
            nemesis.move()
            await asyncio.sleep(run.rng.uniform(0.5, 1.5))
        for process in list(cluster.leaders.values()):
            if run.rng.random() < 0.7:
                cluster.kill(process, power_lost=run.rng.random() < 0.5)
        await asyncio.sleep(run.rng.uniform(0.5, 1.5))


async def short_tails(run: Run) -> None:
    """Leaders are killed at any time; the trace has how many rows a successor finds above the newest checkpoint."""
    cluster = run.cluster
    for _ in range(12):
        await asyncio.sleep(run.rng.uniform(1.0, 4.0))
        for leader_id, process in sorted(cluster.leaders.items()):
            if isinstance(process.role, Leader):
                assert process.role._parts is not None
                checkpoints = process.role._parts.checkpoints
                run.trace.event("tail", f"leader-{leader_id} {checkpoints.replay_rows} {checkpoints.newest_slot}")
                cluster.kill(process)


async def _amid_random_trouble(run: Run, *further: Coroutine[Any, Any, None]) -> None:
    """Random trouble, with further trouble for as long as that lasts."""
    tasks = [asyncio.ensure_future(one) for one in further]
    try:
        await random_trouble(run)
    finally:
        for task in tasks:
            task.cancel()


async def balanced(run: Run) -> None:
    """All kinds of trouble, while the controller moves partitions by what leaders report, and topics want leaders of their own
    and do not any more."""
    await _amid_random_trouble(run, _want_leaders(run), _tell_of_moves(run))


async def _want_leaders(run: Run) -> None:
    client: Any = ControllerClient(run.cluster.seat)
    asker = Process(run.cluster.loop, "asker", "clients")
    while True:
        await asyncio.sleep(run.rng.uniform(1.0, 5.0))
        name, kind = run.rng.choice(sorted(run.topics)), run.rng.choice(("dedicated", "shared"))
        change = ConfigChange(key="raylog.leader", op=0, value=kind)
        run.trace.event("wants", f"{name} {kind}")
        with contextlib.suppress(RetryError):
            alteration = ConfigAlteration(resource_type=2, name=name, changes=(change,))
            await asker.run(client.alter_configs([alteration]))


async def _tell_of_moves(run: Run) -> None:
    told: dict[Any, Any] = {}
    while True:
        await asyncio.sleep(0.2)
        process = run.cluster.controller
        ordered = process.role._balancer._ordered if process is not None and process.role is not None else {}
        for name, move in ordered.items():
            if told.get(name) != move:
                told[name] = move
                run.trace.event("balance", f"{name} to {move[0]}")


async def drained(run: Run) -> None:
    """All kinds of trouble, while operators drain nodes and take that back; most drains come to their end."""
    await _amid_random_trouble(run, _drain_nodes(run))


async def _drain_nodes(run: Run) -> None:
    client: Any = ControllerClient(run.cluster.seat)
    asker = Process(run.cluster.loop, "asker", "clients")
    while True:
        name = f"node-{run.rng.randrange(run.shape.gateways)}"
        for drain, seconds in ((True, run.rng.choice((0.05, 1.0, 3.0))), (False, run.rng.uniform(0.0, 0.5))):
            run.trace.event("drain", f"{name} {drain}")
            with contextlib.suppress(RetryError, InvalidError):  # the latter for the last one
                await asker.run(client.drain_node(name, drain=drain))
            await asyncio.sleep(seconds)


async def resting(run: Run) -> None:
    """All kinds of trouble, while leaders are ended as if nobody asked for them, though clients do: they are woken at once, often
    while they are still ending."""
    await _amid_random_trouble(run, _have_leaders_rest(run))


async def _have_leaders_rest(run: Run) -> None:
    while True:
        await asyncio.sleep(run.rng.uniform(0.2, 2.0))
        controller = run.cluster.controller
        leaders = sorted(run.cluster.leaders)
        if controller is not None and controller.role is not None and leaders:
            controller.run(controller.role._rests.rest([run.rng.choice(leaders)]))


async def zones(run: Run) -> None:
    """All kinds of trouble, and gateways end when an upload is in the bucket that no leader has heard of."""
    try:
        await _amid_random_trouble(run, _strike_uploaders(run))
    finally:
        run.cluster.bucket.ambush = None


async def _strike_uploaders(run: Run) -> None:
    cluster = run.cluster

    def strike(sender: Process, what: str, key: str) -> None:
        if what == "put-new" and key.startswith(UPLOADS_PREFIX) and not sender.is_dead:
            cluster.bucket.ambush = None
            run.trace.event("orphan", key)
            cluster.kill(sender)

    while True:
        await asyncio.sleep(run.rng.uniform(0.3, 3.0))
        cluster.bucket.ambush = strike


async def late_references(run: Run) -> None:
    """Gateways fall asleep when an upload is in the bucket, and leaders when a slot is, with further references in hand: for less
    than a slot may take, or until garbage collection has taken what they are about to name."""
    cluster = run.cluster
    for _ in range(5):
        role, prefix = run.rng.choice((("gateway", UPLOADS_PREFIX), ("leader", LEADERS_PREFIX)))
        seconds = run.rng.choice((0.15 * _UPLOADS_GRACE_S, 1.5 * _UPLOADS_GRACE_S))

        def put_to_sleep(
            sender: Process, what: str, key: str, *, role: str = role, prefix: str = prefix, seconds: float = seconds
        ) -> None:
            if what == "put-new" and sender.name.startswith(role) and key.startswith(prefix):
                cluster.bucket.ambush = None
                cluster.pause(sender, seconds)

        cluster.bucket.ambush = put_to_sleep
        await asyncio.sleep(seconds + 2.0)
    cluster.bucket.ambush = None


async def outage(run: Run) -> None:
    """The bucket is away for two minutes."""
    await asyncio.sleep(2.0)
    run.cluster.bucket.go_away(OUTAGE_S)
    await asyncio.sleep(OUTAGE_S + 1.0)


async def spilling_outages(run: Run) -> None:
    """The bucket is away twice, for longer than memory lasts but not the WAL: once the leader brings it all into slots itself,
    once it is killed when the bucket comes back."""
    cluster = run.cluster
    for is_killed in (False, True):
        await asyncio.sleep(1.5)
        seconds = run.rng.uniform(8.0, 25.0)
        cluster.bucket.go_away(seconds)
        for _ in range(int(seconds) + 1):
            await asyncio.sleep(1.0)
            _note_spilled(run)
        if is_killed:
            for process in list(cluster.leaders.values()):
                cluster.kill(process, power_lost=run.rng.random() < 0.5)
        await asyncio.sleep(3.0)


def _note_spilled(run: Run) -> None:
    """What is in WALs alone; memory has the rest, within its limit and a slot that is read back."""
    for process in run.cluster.leaders.values():
        parts = process.role._parts if isinstance(process.role, Leader) else None
        if parts is None:
            continue
        assert parts.buffer.held_bytes <= 3 * SPILLING_BYTES, parts.buffer.held_bytes
        run.trace.event("spilled", f"{process.name} {parts.context.appender.spilled_bytes}")


async def _ask_for_ids(run: Run) -> None:
    client: Any = ControllerClient(run.cluster.seat)
    first = await client.allocate_producer_ids(_IDS)
    run.trace.event("ids", f"{first} to {first + _IDS - 1}")
    run.history.producer_ids += range(first, first + _IDS)


SCENARIOS = {
    "live_takeovers": (LIVE_TAKEOVERS_SHAPE, live_takeovers),
    "crossed_takeovers": (CROSSED_TAKEOVERS_SHAPE, crossed_takeovers),
    "sleeping_controller": (SLEEPING_CONTROLLER_SHAPE, sleeping_controller),
    "collected_controller": (COLLECTED_CONTROLLER_SHAPE, sleeping_controller),
    "sleeping_collector": (SLEEPING_COLLECTOR_SHAPE, sleeping_collector),
    "interrupted_release": (INTERRUPTED_RELEASE_SHAPE, interrupted_release),
    "interrupted_take_over": (MOVES_SHAPE, interrupted_take_over),
    "returning": (MOVES_SHAPE, returning),
    "short_tails": (SHORT_TAILS_SHAPE, short_tails),
    "outage": (OUTAGE_SHAPE, outage),
    "spilling_outages": (SPILLING_SHAPE, spilling_outages),
    "balanced": (BALANCED_SHAPE, balanced),
    "drained": (DRAINED_SHAPE, drained),
    "resting": (RESTING_SHAPE, resting),
    "zones": (ZONES_SHAPE, zones),
    "late_references": (LATE_REFERENCES_SHAPE, late_references),
}
