"""The shell of the group coordinators: one coordinator per led ``__consumer_offsets`` partition.

It loads a coordinator from its partition's records, runs the effects of the pure coordinator (``raylog.coordination``), and
keeps its timers. What it needs of the leader is ``InternalLog``, below.
"""

import asyncio
from typing import Protocol

from raylog.model.buffers import Buffer
from raylog.model.ids import TopicPartition


class InternalLog(Protocol):
    """The leader's own appends to and reads from a partition that it leads, past the request path.

    Any call may raise StaleRouteError when the partition is not led (any more), FencedError when the leader is fenced.
    """

    def append_internal(self, partition: TopicPartition, batch: Buffer) -> asyncio.Future[int]:
        """Append one record batch (v2, offsets and leader epoch unset) and never wait: the order of calls is the order of offsets.

        The future gives the batch's base offset once it and all before it is durable. The caller bounds the bytes under way.
        """
        ...

    async def read_internal(self, partition: TopicPartition, offset: int, max_bytes: int) -> Buffer:
        """Whole batches from the one that holds ``offset`` on, below the high watermark, as appended; from memory or bucket.

        At least one batch unless ``offset`` is the high watermark (then empty). At most about ``max_bytes``.
        """
        ...

    def bounds_internal(self, partition: TopicPartition) -> tuple[int, int]:
        """Log start offset and high watermark."""
        ...

    async def delete_records_internal(self, partition: TopicPartition, before_offset: int) -> None:
        """Move the log start offset up to ``before_offset``; returns when that is durable."""
        ...
