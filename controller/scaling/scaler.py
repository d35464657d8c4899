"""The controller's part that has the cluster grow and shrink: it looks every few seconds, has one node emptied or taken back, and
says how much room is wanted.

The wanted size is in no log: it follows from what leaders report, and a controller that starts asks for nothing new, and gives
nothing back, before it knows that. Drains for scaling are in the metadata, so that they go on, and can be taken back.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from controller.balance.book import LoadBook
from controller.drains import give_back, take_back
from controller.journal import Journal
from controller.metrics import ControllerMetrics
from controller.nodes import Node
from controller.records import Record
from controller.rules import ClusterRules
from controller.scaling.gateways import GatewayBook
from controller.scaling.observe import Observer
from controller.scaling.rooms import Request
from controller.scaling.sizer import SizePlan, Sizer, Verdict
from controller.scaling.views import ClusterSight, SizeGoals
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.model.limits import Limits
from raylog.model.logs import RoleLogger, fields


class RoomAsker(Protocol):
    """The port to whoever has nodes. May be repeated; raises RetryError if it cannot be now."""

    async def ask(self, request: Request) -> None:
        """From now on there is to be this room, and need not be more."""
        ...


class SizeLook(NamedTuple):
    """What was seen, by which goals, and what follows."""

    sight: ClusterSight
    goals: SizeGoals
    plan: SizePlan


class Scaler:
    """``run`` must be running."""

    def __init__(
        self,
        asker: RoomAsker,
        *,
        journal: Callable[[], Journal],
        rules: Callable[[], ClusterRules],
        changed: Callable[[], None],
        is_cleared: Callable[[Node], bool],
        is_resting: Callable[[LeaderId], bool],
        own_node: str,
        book: LoadBook,
        gateways: GatewayBook,
        clock: Clock,
        limits: Limits,
        metrics: ControllerMetrics,
        log: RoleLogger,
    ) -> None:
        """``journal`` gives the one that serves, or raises RetryError; ``changed`` is called when drains have changed there.
        ``own_node`` is where the controller runs."""
        self._asker = asker
        self._journal = journal
        self._rules = rules
        self._changed = changed
        self._observer = Observer(
            book,
            gateways,
            is_cleared,
            is_resting,
            own_node,
            capacity=float(limits.balance.leader_bytes_max),
        )
        self._clock = clock
        self._limits = limits.scaling
        self._metrics = metrics
        self._log = log
        self._sizer: Sizer | None = None
        self._asked: Request | None = None
        """In this controller's life."""
        self.latest: SizeLook | None = None
        """None while the size is nobody's business."""

    async def run(self) -> None:
        """Until cancelled. An error other than RetryError ends it."""
        while True:
            await self._clock.sleep(self._limits.look_s)
            try:
                await self.look()
            except RetryError as error:
                self._log.warning("room cannot be asked for, trying again", extra=fields(error=error))

    async def look(self) -> None:
        """One look: what it wants is durably so when it returns, and asked for."""
        goals = self._goals()
        if goals is None:
            await self._stop()
            return
        now_s = self._clock.monotonic()
        sight = self._observer.look(self._journal().planned, self._rules(), now_s)
        self._sizer = self._sizer or Sizer()
        plan = self._sizer.look(now_s, sight, goals)
        self.latest = SizeLook(sight, goals, plan)
        self._metrics.nodes_wanted.set(plan.wanted)
        await self._step(plan)
        # Asked again each time: what Ray was asked for it forgets with its GCS.
        if plan.request is not None:
            await self._ask(plan.request)

    async def _step(self, plan: SizePlan) -> None:
        journal = self._journal()
        if plan.verdict is Verdict.SHRINKS:
            await self._submit(journal, give_back(journal.planned, self._rules().nodes, plan.node))
            self._log.info("fewer nodes do: one is emptied", extra=fields(node=plan.node, wanted=plan.wanted))
        elif plan.verdict is Verdict.TAKES_BACK:
            await self._submit(journal, take_back(journal.planned, plan.node))
            self._log.info("more nodes are wanted: one serves again", extra=fields(node=plan.node, wanted=plan.wanted))

    async def _stop(self) -> None:
        """The size is not to change any more: what was to go stays, and nothing is asked for. Where nothing was, what others ask
        of Ray is left alone."""
        self._sizer = self.latest = None
        self._metrics.nodes_wanted.set(0)
        journal = self._journal()
        for name in sorted(journal.planned.given_back):
            await self._submit(journal, take_back(journal.planned, name))
        if self._asked is not None:
            await self._ask(Request())
            self._asked = None

    async def _submit(self, journal: Journal, records: tuple[Record, ...]) -> None:
        if records:
            journal.submit(records)
            self._changed()
            await journal.settled()

    async def _ask(self, request: Request) -> None:
        await self._asker.ask(request)
        if request != self._asked:
            self._log.info("room is asked for", extra=fields(nodes=len(request.rooms), without=list(request.without)))
        self._asked = request

    def _goals(self) -> SizeGoals | None:
        """None where the size is not to change."""
        settings = self._rules().broker_config(self._journal().durable)
        if settings.raylog_scaling_nodes_max <= settings.raylog_scaling_nodes_min:
            return None
        return SizeGoals(
            nodes_min=settings.raylog_scaling_nodes_min,
            nodes_max=settings.raylog_scaling_nodes_max,
            use=self._limits.use,
            band=self._limits.band,
            up_s=self._limits.up_s,
            down_s=self._limits.down_s,
        )
