"""The loop that gives every node its gateways, and takes them, and all else, from nodes that drain, once these lead nothing
(``controller.evacuation``).

One step after the other, each from what the metadata say: so the controller may die between any two.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from controller.drains import emptied, retire
from controller.journal import Journal
from controller.nodes import Node
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId
from raylog.model.logs import RoleLogger, fields


class NodeLauncher(Protocol):
    """The port to what starts and ends roles on a node. Calls may be repeated; they raise RetryError if it cannot be now."""

    async def ensure_gateways(self, node: str) -> None:
        """Have the node's gateways running, until the node ends."""
        ...

    async def clear(self, node: str, leaders: Sequence[LeaderId]) -> None:
        """Close the node's gateways, and these leaders, who lead nothing; they are not started again."""
        ...


class NodeKeeper:
    """``run`` must be running. What it has done for a node it does again only after the node's next start, or its next drain."""

    def __init__(
        self,
        launcher: NodeLauncher,
        forget: Callable[[LeaderId], None],
        journal: Callable[[], Journal],
        nodes: Callable[[], Sequence[Node]],
        clock: Clock,
        retry_s: float,
        log: RoleLogger,
    ) -> None:
        """``forget`` is told of leaders that have been ended. ``nodes`` gives those of now, settled, with all drains."""
        self._launcher = launcher
        self._forget = forget
        self._journal = journal
        self._nodes = nodes
        self._clock = clock
        self._retry_s = retry_s
        self._log = log
        self._opened: set[str] = set()
        """Starts of nodes whose gateways are started."""
        self._cleared: set[str] = set()
        """Starts of draining nodes on which nothing runs any more."""
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Nodes, or what is led on draining ones, may have changed."""
        self._wake.set()

    def is_cleared(self, node: Node) -> bool:
        """Whether nothing runs there any more, as it drains."""
        return node.start_id in self._cleared

    async def run(self) -> None:
        """Until cancelled. An error other than RetryError ends it."""
        while True:
            self._wake.clear()
            try:
                await self._step()
            except RetryError as error:
                self._log.warning("a node cannot be seen to, trying again", extra=fields(error=error))
                await self._clock.sleep(self._retry_s)
            else:
                await self._wake.wait()

    async def _step(self) -> None:
        self._forget_the_gone()
        for node in self._nodes():
            if not node.is_draining and node.start_id not in self._opened:
                await self._launcher.ensure_gateways(node.name)
                self._opened.add(node.start_id)
        journal = self._journal()
        ready = emptied(journal.durable, self._nodes())
        self._cleared &= {node.start_id for node in ready}
        for node in ready:
            if node.start_id not in self._cleared:
                await self._clear(journal, node)

    def _forget_the_gone(self) -> None:
        present = {node.start_id for node in self._nodes()}
        self._opened &= present
        self._cleared &= present

    async def _clear(self, journal: Journal, node: Node) -> None:
        journal.submit(retire(journal.planned, node))
        await journal.settled()
        idle = [leader.leader_id for leader in journal.durable.leaders.values() if leader.node == node.name]
        self._opened.discard(node.start_id)
        await self._launcher.clear(node.name, idle)
        # Even if it is not to drain any more by now: whoever is needed again is started again.
        for leader_id in idle:
            self._forget(leader_id)
        self._cleared.add(node.start_id)
        self._log.info("a node is drained", extra=fields(node=node.name))
