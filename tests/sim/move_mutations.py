"""Guards of moves from leader to leader (docs/decisions/0008), as in ``tests.sim.mutations``."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from raylog.leader import recovery
from raylog.leader.assignments import AssignmentFollower
from raylog.leader.checkpoints import Checkpoints
from raylog.leader.handovers import Handovers
from raylog.leader.log_state import LogState
from raylog.leader.releases import Releases
from tests.sim.mutations import mutation

SCENARIO_OF = {
    "releases_are_remembered": "interrupted_release",
    "take_overs_in_the_wal_count": "interrupted_take_over",
    "take_overs_that_the_log_has_had_are_over": "returning",
}
"""The directed trouble that notices each that random trouble meets too seldom."""


@mutation
def changes_after_the_handover_are_told() -> Iterator[None]:
    """What is handed over is written down while the partitions still serve, and nobody minds what comes after that."""
    right = Handovers._event

    def event(self: Handovers, *args: Any) -> Any:
        return replace(right(self, *args), handed_end_offset=-1)

    with patch.object(Handovers, "_event", event):
        yield


@mutation
def take_overs_in_the_wal_count() -> Iterator[None]:
    """A leader that comes up again knows of the adoptions in its log alone."""

    async def nothing(*_: Any) -> None:
        pass

    with patch.object(recovery, "_replay_take_over", nothing):
        yield


@mutation
def take_overs_that_the_log_has_had_are_over() -> Iterator[None]:
    """A leader that comes up again goes on with every partition that its WAL says it took over, though it left since."""
    with patch.object(Releases, "has_had", lambda self, epoch, lsn: False):
        yield


@mutation
def floor_of_what_was_handed_over() -> Iterator[None]:
    """A leader trims its log without regard to rows that other logs have by now."""

    def nothing(self: Checkpoints) -> tuple[int, ...]:
        return ()

    with patch.object(Checkpoints, "_first_slot_of_others", nothing):
        yield


@mutation
def releases_are_remembered() -> Iterator[None]:
    """A leader that comes up again does not know what its predecessor had released and not yet told of."""

    def forget(self: Releases, event: Any, partition: Any) -> None:
        self.points_at(event.first_slot)

    right = LogState._hand_over

    def hand_over(self: LogState, *args: Any) -> None:
        with patch.object(Releases, "handed_over", forget):
            right(self, *args)

    with patch.object(LogState, "_hand_over", hand_over):
        yield


@mutation
def epoch_above_the_last_leaders() -> Iterator[None]:
    """Whoever takes a partition over begins its leader epochs with its own log's, as for a new partition."""
    right = AssignmentFollower._adopt

    async def adopt(self: AssignmentFollower, assigned: Any) -> None:
        low = [
            replace(a, taken_from=a.taken_from._replace(leader_epoch=-1, epoch_base=-self._endpoint.log_epoch - 1))
            if a.taken_from
            else a
            for a in assigned
        ]
        await right(self, low)

    with patch.object(AssignmentFollower, "_adopt", adopt):
        yield
