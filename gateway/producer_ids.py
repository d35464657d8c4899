"""Producer ids for idempotent producers, handed out from blocks that the controller gives to this gateway alone.

An id is given once, ever: what is left of a block when the gateway ends is lost, as in Kafka (KIP-730).
"""

import asyncio
from typing import Final

from raylog.model.admin import ControllerClient
from raylog.model.ids import ProducerId

BLOCK_SIZE: Final = 1000


class ProducerIds:
    """Used from one event loop."""

    def __init__(self, controller: ControllerClient, *, block_size: int = BLOCK_SIZE) -> None:
        self._controller = controller
        self._block_size = block_size
        self._next = 0
        self._end = 0
        self._fetching = asyncio.Lock()

    async def next_id(self) -> ProducerId:
        """Raises RetryError when the block is used up and the controller is away."""
        if self._next == self._end:
            async with self._fetching:
                # Whoever waited for the lock may find the block that the one before it fetched.
                if self._next == self._end:
                    first = await self._controller.allocate_producer_ids(self._block_size)
                    self._next, self._end = first, first + self._block_size
        given = self._next
        self._next += 1
        return ProducerId(given)
