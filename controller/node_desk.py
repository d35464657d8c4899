"""Which nodes there are and which of them drain: what the controller is told of them, and what it does about it."""

from collections.abc import Callable, Sequence

from controller.drains import keep_drains, order_drain, with_drains
from controller.evacuation import Evacuation
from controller.journal import Journal
from controller.leader_watch import LeaderWatch
from controller.metrics import ControllerMetrics
from controller.node_keeper import NodeKeeper
from controller.nodes import Node, on_gone_nodes, settle
from controller.rules import ClusterRules


class NodeDesk:
    """Changes the metadata as nodes come, go and drain; ``evacuation`` and ``keeper`` do what follows from them."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        journal: Callable[[], Journal],
        rules: Callable[[], ClusterRules],
        settled: Callable[[tuple[Node, ...]], None],
        evacuation: Evacuation,
        keeper: NodeKeeper | None,
        watch: LeaderWatch,
        metrics: ControllerMetrics,
    ) -> None:
        """``nodes`` are those of now. ``settled`` is told which there are for the rules, with all drains. ``keeper`` is None
        where the caller starts and ends what belongs to a node."""
        self._nodes = tuple(nodes)
        self._journal = journal
        self._rules = rules
        self._settled = settled
        self._evacuation = evacuation
        self._keeper = keeper
        self._watch = watch
        self._metrics = metrics

    def begin(self) -> None:
        """The metadata log is open. Where nobody tells of nodes there are none, and nothing is done."""
        if self._nodes:
            self._settle()

    async def see(self, nodes: Sequence[Node]) -> None:
        """These nodes are there, and no others. Returns once that is durable."""
        journal = self._journal()
        for leader_id in on_gone_nodes(journal.planned, self._nodes, nodes):
            self._watch.lost_node(leader_id)
        self._nodes = tuple(nodes)
        self._settle()
        await journal.settled()
        self.look()

    async def drain(self, name: str, *, drain: bool) -> None:
        """Have a node emptied, until it is gone or that is taken back (``drain`` False). Returns once it is durably wanted.

        Raises InvalidError for a node that is not there, or is the last one.
        """
        journal = self._journal()
        journal.submit(order_drain(journal.planned, self._nodes, name, drain=drain))
        self.drains_changed()
        await journal.settled()

    def drains_changed(self) -> None:
        """The metadata say of other nodes than before that they drain."""
        self._settle()
        self.look()

    def committed(self) -> None:
        """The metadata have changed: what draining nodes still lead may have."""
        if any(node.is_draining for node in self._rules().nodes):
            self.look()

    def look(self) -> None:
        """Nodes, or what is led on draining ones, may have changed."""
        self._evacuation.look()
        if self._keeper is not None:
            self._keeper.look()

    def is_cleared(self, node: Node) -> bool:
        """Whether nothing runs there any more, as it drains."""
        return self._keeper is not None and self._keeper.is_cleared(node)

    def _settle(self) -> None:
        """Have the metadata follow the nodes that are there, and the rules which of them drain."""
        journal = self._journal()
        journal.submit(keep_drains(journal.planned, self._nodes))
        nodes = with_drains(journal.planned, self._nodes)
        self._settled(nodes)
        journal.submit(settle(journal.planned, nodes))
        self._metrics.show_nodes(sum(not node.is_draining for node in nodes))
