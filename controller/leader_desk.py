"""What leaders ask of the controller: to be known, what they are to lead, and that it hears what they have done.

An open of a leader's log (its epoch) is known by the first call that names it, and fences all earlier ones here, too. Versions of
assignments are slot numbers of the metadata log, so they rise across controllers.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from controller.balance.book import LoadBook
from controller.journal import Journal
from controller.leader_watch import LeaderWatch
from controller.moves import released
from controller.offers import HandoverOffers
from controller.records import Adoption, Destination, PartitionsAdopted, PartitionsMoving
from controller.rules import ClusterRules
from controller.state import MetadataState, leader_registered
from raylog.model.admin import Adopted, HandoverOffer, LeaderAssignments, Released
from raylog.model.errors import FencedError, InvalidError, RetryError
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.load import LoadReport
from raylog.model.routing import LeaderEndpoint


class LeaderDesk:
    """Its methods are those of ``raylog.model.admin.ControllerClient``; see there for what they mean."""

    def __init__(
        self,
        *,
        journal: Callable[[], Journal],
        rules: Callable[[], ClusterRules],
        until: Callable[[Callable[[], bool], float], Awaitable[bool]],
        watch: LeaderWatch,
        book: LoadBook,
        offers: HandoverOffers,
        poll_s_max: float,
    ) -> None:
        """``until`` waits for something that commits bring about, so many seconds at most, and says whether it came."""
        self._journal = journal
        self._rules = rules
        self._until = until
        self._watch = watch
        self._book = book
        self._offers = offers
        self._poll_s_max = poll_s_max
        self._floor = 0
        self._versions: dict[LeaderId, int] = {}

    def begin(self, slot: int) -> None:
        """The metadata log has been replayed up to here: above every version that an earlier controller can have given out."""
        self._floor = slot

    def committed(self, slot: int, affected: Iterable[LeaderId]) -> None:
        """These leaders are assigned something else."""
        self._versions.update(dict.fromkeys(affected, slot))

    async def register(self, endpoint: LeaderEndpoint) -> LeaderAssignments:
        journal = self._journal()
        known = _known(journal.planned, endpoint.leader_id, endpoint.log_epoch)
        if endpoint != known:
            journal.submit([leader_registered(endpoint)])
        self._heard(endpoint.leader_id)
        await journal.settled()
        return self._assignments(endpoint.leader_id)

    async def watch_assignments(
        self, leader_id: LeaderId, log_epoch: LogEpoch, version: int, load: LoadReport | None
    ) -> LeaderAssignments | None:
        def news() -> bool:
            if _known(self._journal().durable, leader_id, log_epoch) is None:
                raise RetryError(f"Leader {leader_id} has not registered at epoch {log_epoch}.")
            return self._version(leader_id) > version

        news()  # raises for one that is not, or no longer, the leader: it is no sign of life
        self._heard(leader_id)
        if load is not None:
            self._book.report(leader_id, log_epoch, load)
        is_news = await self._until(news, self._poll_s_max)
        return self._assignments(leader_id) if is_news else None

    async def report_adopted(self, leader_id: LeaderId, log_epoch: LogEpoch, adopted: Sequence[Adopted]) -> None:
        journal = self._journal()
        state = journal.planned
        _known(state, leader_id, log_epoch)
        news = tuple(
            Adoption(*report.partition, report.epoch_base)
            for report in adopted
            if state.leads(leader_id, report.partition) and state.is_newer(report.partition, report.epoch_base)
        )
        if news:
            journal.submit([PartitionsAdopted(leader_id=leader_id, adopted=news)])
        await journal.settled()

    async def report_released(self, leader_id: LeaderId, log_epoch: LogEpoch, reports: Sequence[Released]) -> None:
        journal = self._journal()
        _known(journal.planned, leader_id, log_epoch)
        journal.submit(released(journal.planned, leader_id, log_epoch, reports))
        await journal.settled()

    async def offer_handover(
        self, leader_id: LeaderId, log_epoch: LogEpoch, handover: int, partitions: Sequence[TopicPartition]
    ) -> None:
        _known(self._journal().durable, leader_id, log_epoch)
        await self._offers.offer(leader_id, handover, partitions)

    async def watch_offers(
        self, leader_id: LeaderId, log_epoch: LogEpoch, read: Sequence[HandoverOffer]
    ) -> tuple[HandoverOffer, ...]:
        _known(self._journal().durable, leader_id, log_epoch)
        return await self._offers.watch(leader_id, read)

    def deleted_of(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        topics = self._journal().durable.topics
        return [partition for partition in partitions if partition.topic_id not in topics]

    def _heard(self, leader_id: LeaderId) -> None:
        """A leader is there. Those that have partitions for it are told, by what they were told before."""
        is_new = not self._watch.is_there(leader_id)
        self._watch.heard(leader_id)
        journal = self._journal()
        if is_new and (expected := journal.planned.expected(leader_id)):
            moves = tuple(Destination(*partition, leader_id) for partition in expected)
            journal.submit([PartitionsMoving(moves=moves)])

    def _version(self, leader_id: LeaderId) -> int:
        return self._versions.get(leader_id, self._floor)

    def _assignments(self, leader_id: LeaderId) -> LeaderAssignments:
        state = self._journal().durable
        partitions, handing_over = state.assignments(leader_id, self._watch.is_there)
        return LeaderAssignments(
            version=self._version(leader_id),
            partitions=partitions,
            handing_over=handing_over,
            broker_configs=self._rules().merged_broker_configs(state),
        )


def _known(state: MetadataState, leader_id: LeaderId, log_epoch: LogEpoch) -> LeaderEndpoint | None:
    """The leader's registration, None if it is of an earlier open. Raises FencedError if it is of a later one."""
    leader = state.leaders.get(leader_id)
    if leader is None:
        raise InvalidError(f"There is no leader {leader_id} in this cluster.")
    if leader.endpoint is None or leader.endpoint.log_epoch < log_epoch:
        return None
    if leader.endpoint.log_epoch > log_epoch:
        raise FencedError(f"Leader {leader_id} is registered at epoch {leader.endpoint.log_epoch}, above {log_epoch}.")
    return leader.endpoint
