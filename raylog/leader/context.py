"""What handlers and coordinators see of a leader: its partitions, its append and read paths, its clock and limits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raylog.leader.acks import Acks
from raylog.leader.admission import Admission
from raylog.leader.append import Appender
from raylog.leader.batch_reader import BatchReader
from raylog.leader.early_calls import EarlyCalls
from raylog.leader.fetch import Fetcher
from raylog.leader.hosted import HostedPartitions
from raylog.leader.internal_log import LeaderInternalLog
from raylog.leader.log_start import LogStarts
from raylog.leader.metrics import LeaderMetrics
from raylog.leader.produce_answers import ProduceAnswers
from raylog.leader.unflushed_reader import UnflushedReader
from raylog.model.clock import Clock
from raylog.model.ids import LeaderId
from raylog.model.limits import LeaderLimits
from raylog.model.logs import RoleLogger

if TYPE_CHECKING:
    from raylog.leader.coordinator import GroupCoordinators


@dataclass(slots=True, kw_only=True, eq=False)
class LeaderContext:
    """Made by ``Leader`` at its start, the same for every connection."""

    leader_id: LeaderId
    store_url: str
    clock: Clock
    limits: LeaderLimits
    log: RoleLogger
    metrics: LeaderMetrics
    partitions: HostedPartitions
    appender: Appender
    acks: Acks
    admission: Admission
    fetcher: Fetcher
    unflushed: UnflushedReader
    reader: BatchReader
    log_starts: LogStarts
    produce_answers: ProduceAnswers
    internal_log: LeaderInternalLog
    early_calls: EarlyCalls
    coordinators: "GroupCoordinators"
    fail: Callable[[Exception], None]
    """Ends the leader: a broken invariant."""
    is_stopped: bool = field(default=False)
    """Nothing is answered any more."""
