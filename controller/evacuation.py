"""The loop that has all that is led on draining nodes led elsewhere.

It waits for nothing but the metadata log, as a node that drains may have but seconds: what starts and closes processes there
(``controller.node_keeper``) waits for Ray, and for the processes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from controller.drains import evacuate
from controller.journal import Journal
from controller.nodes import Node
from raylog.model.ids import LeaderId


class Evacuation:
    """``run`` must be running."""

    def __init__(
        self,
        *,
        journal: Callable[[], Journal],
        nodes: Callable[[], Sequence[Node]],
        is_there: Callable[[LeaderId], bool],
        look_s: float,
    ) -> None:
        """``nodes`` gives those of now, settled, with all drains; ``is_there`` says of a leader that it was heard just now."""
        self._journal = journal
        self._nodes = nodes
        self._is_there = is_there
        self._look_s = look_s
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Nodes, or what is led on draining ones, may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Raises RetryError when the controller serves no more."""
        while True:
            self._wake.clear()
            journal = self._journal()
            journal.submit(evacuate(journal.planned, self._nodes(), self._is_there))
            await journal.settled()
            await self._woken()

    async def _woken(self) -> None:
        """Wait for a change; while a node drains not for long, as nobody tells that a leader has fallen silent, or is heard."""
        drains = any(node.is_draining for node in self._nodes())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._look_s if drains else None):
                await self._wake.wait()
