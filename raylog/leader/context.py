"""What handlers and coordinators see of a leader: its partitions, its append and read paths, its clock and limits."""

from raylog.leader.coordinator import GroupCoordinators, InternalLog
from raylog.leader.hosted import HostedPartitions
from raylog.model.clock import Clock


class LeaderContext:
    """Made by ``Leader`` at its start, the same for every connection."""

    clock: Clock
    partitions: HostedPartitions
    internal_log: InternalLog
    groups: GroupCoordinators
    """Observes ``partitions``; its ``run`` is one of the leader's tasks, ``configure`` takes broker settings that have come."""
