"""What goes wrong, by a seed: kills, power losses, pauses, zombies, silences, breaks, bad weather at the bucket, its outages; and
moves of partitions from leader to leader, which are no trouble by themselves."""

import asyncio
import contextlib
from collections.abc import Callable
from random import Random

from controller.controller import Controller
from raylog.model.admin import Move
from raylog.model.errors import RetryError
from raylog.storage.faulty_store import NO_FAULTS, FaultModel
from tests.sim.cluster import SimCluster
from tests.sim.garbage import ROLE
from tests.sim.loop import Process

ROUGH = FaultModel(slow_down=0.05, timed_out=0.03, answer_lost=0.05, late_put=0.03, timeout_s=1.0, late_s_max=6.0)
BAD = FaultModel(slow_down=0.7, timed_out=0.2, answer_lost=0.05, late_put=0.05, timeout_s=0.5, late_s_max=4.0)
SLOW_DOWN = FaultModel(slow_down=0.85)
_OUTAGES = 0.01
"""The chance that a run has one, which then costs as much as a dozen others."""


class Nemesis:
    """``run`` until its time is over, then ``heal``."""

    def __init__(self, cluster: SimCluster, rng: Random) -> None:
        self._cluster = cluster
        self._rng = rng
        # A run is about some kinds of trouble, so that they meet in many combinations.
        kinds = [
            self._kill,
            self._pause,
            self._pause_node,
            self._usurp,
            self._close,
            self._silence,
            self._break,
            self._weather,
            self._ambush,
            self._ambush_collection,
            self._slow_start,
        ]
        self._kinds: list[Callable[[], None]] = rng.sample(kinds, rng.randint(2, len(kinds)))
        if rng.random() < 0.6:
            self._kinds += [self.move] * rng.randint(1, 4)
        self._pause_s = rng.choice((0.15, 0.5, 1.25))

    async def run(self, seconds: float) -> None:
        cluster, rng = self._cluster, self._rng
        cluster.seat.loss = rng.choice((0.0, 0.02, 0.1))
        until = cluster.loop.time() + seconds
        outage_s = 0.0
        if rng.random() < _OUTAGES:
            outage_s = rng.choice((25.0, 70.0, 180.0))
            cluster.loop.later(rng.uniform(0, seconds), cluster.bucket.go_away, outage_s)
        while cluster.loop.time() < until:
            await asyncio.sleep(rng.uniform(0.05, 2 * self._pause_s))
            rng.choice(self._kinds)()
        # The outage ends after the other trouble: most of it is about waiting.
        await asyncio.sleep(outage_s)

    def heal(self) -> None:
        self._cluster.trace.event("heal")
        self._cluster.seat.loss = 0.0
        self._cluster.bucket.ambush = None
        self._cluster.bucket.set_weather(NO_FAULTS)
        self._cluster.network.heal()
        self._cluster.heal()

    def _process(self) -> Process | None:
        """Leaders most of all."""
        cluster, rng = self._cluster, self._rng
        leaders = [process for process in cluster.leaders.values() if not process.is_dead]
        others = [process for process in (*cluster.gateways, cluster.controller) if process and not process.is_dead]
        chosen = leaders if leaders and rng.random() < 0.7 else others
        return rng.choice(chosen) if chosen else None

    def _kill(self) -> None:
        process = self._process()
        if process is not None:
            rng = self._rng
            self._cluster.kill(process, power_lost=rng.random() < 0.5, restart_s=rng.choice((0.05, 0.5, 2.0)))

    def _pause(self) -> None:
        process = self._process()
        if process is None:
            return
        cluster, rng = self._cluster, self._rng
        cluster.pause(process, rng.choice((0.05, 0.5, 2.0, 5.0, 12.0)))
        if process is cluster.controller and rng.random() < 0.5:
            cluster.loop.later(rng.uniform(0.1, 1.0), cluster.usurp_controller)

    def _pause_node(self) -> None:
        """All of a machine's processes stand still together, and wake together: none has heard what happened meanwhile."""
        cluster, rng = self._cluster, self._rng
        node = f"node-{rng.randrange(cluster.shape.gateways)}"
        seconds = rng.choice((1.0, 4.0, 8.0))
        for process in cluster.everyone:
            if process.node == node:
                cluster.pause(process, seconds)
        if cluster.controller is not None and cluster.controller.node == node:
            cluster.loop.later(rng.uniform(0.1, 1.0), cluster.usurp_controller)

    def _ambush(self) -> None:
        """Kill a role right after one of its writes to the bucket took effect, before it hears of it."""
        cluster, rng = self._cluster, self._rng
        kind = rng.choice(("put", "put-new", "delete"))

        def strike(sender: Process, what: str, key: str) -> None:
            if what == kind and not sender.is_dead and rng.random() < 0.3:
                cluster.bucket.ambush = None
                cluster.kill(sender, power_lost=rng.random() < 0.5)

        cluster.bucket.ambush = strike

    def move(self) -> None:
        """Partitions go to leaders of their class by lot; some to where they are, by which a move under way is called off."""
        cluster, rng = self._cluster, self._rng
        process = cluster.controller
        if process is None or process.is_dead or process.role is None:
            return
        state = process.role._journal.planned
        moves = [
            Move(topic=topic.name, partition=number, to_leader=rng.choice(leaders))
            for topic in state.topics.values()
            for number, partition in enumerate(topic.partitions)
            if rng.random() < 0.6
            and (
                leaders := [
                    id_
                    for id_, leader in state.leaders.items()
                    if leader.wal_class == state.leaders[partition.leader_id].wal_class
                ]
            )
        ]
        cluster.trace.event("move", ", ".join(f"{move.topic}-{move.partition} to {move.to_leader}" for move in moves))
        process.run(self._order(process.role, moves))

    @staticmethod
    async def _order(controller: Controller, moves: list[Move]) -> None:
        with contextlib.suppress(RetryError):  # the controller ends meanwhile
            await controller.move_partitions(moves)

    def _ambush_collection(self) -> None:
        """Stop a garbage collection at one of its requests: between its listing, its marks and its deletions."""
        cluster, rng = self._cluster, self._rng
        kind = rng.choice(("list", "get", "delete"))

        def strike(sender: Process, what: str, key: str) -> None:
            if what == kind and sender.name.startswith(ROLE) and not sender.is_dead and rng.random() < 0.3:
                cluster.bucket.ambush = None
                if rng.random() < 0.3:
                    cluster.kill(sender)
                else:
                    cluster.pause(sender, rng.choice((0.5, 3.0, 9.0)))

        cluster.bucket.ambush = strike

    def _slow_start(self) -> None:
        """A role comes up while the bucket asks everybody to slow down, for less or for more than one's patience."""
        rng = self._rng
        self._kill()
        seconds = rng.choice((1.5, 4.0, 12.0))
        self._cluster.trace.event("weather", f"slow down for {seconds} s")
        self._cluster.bucket.set_weather(SLOW_DOWN)
        self._cluster.loop.later(seconds, self._cluster.bucket.set_weather, NO_FAULTS)

    def _usurp(self) -> None:
        cluster, rng = self._cluster, self._rng
        if rng.random() < 0.2:
            cluster.usurp_controller()
        elif cluster.leaders:
            leader_id = rng.choice(sorted(cluster.leaders))
            cluster.trace.event("usurp", f"leader {leader_id}")
            for _ in range(rng.choice((1, 1, 2))):
                cluster.usurp(leader_id)

    def _close(self) -> None:
        process = self._process()
        if process is not None:
            self._cluster.restart_gracefully(process)

    def _silence(self) -> None:
        rng = self._rng
        nodes = [f"node-{index}" for index in range(self._cluster.shape.gateways)] + ["clients"]
        one, other = rng.sample(nodes, 2)
        seconds = rng.choice((0.2, 1.0, 4.0))
        self._cluster.trace.event("silence", f"{one} - {other} for {seconds} s")
        self._cluster.network.silence(one, other, seconds)

    def _break(self) -> None:
        for _ in range(self._rng.randint(1, 3)):
            self._cluster.network.break_one()

    def _weather(self) -> None:
        rng = self._rng
        faults, name, seconds = rng.choice(((ROUGH, "rough", 6.0), (ROUGH, "rough", 2.0), (BAD, "bad", 1.5)))
        self._cluster.trace.event("weather", f"{name} for {seconds} s")
        self._cluster.bucket.set_weather(faults)
        self._cluster.loop.later(seconds, self._cluster.bucket.set_weather, NO_FAULTS)
