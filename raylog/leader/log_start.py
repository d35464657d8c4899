"""Moving a partition's log start offset up (DeleteRecords, retention, coordinators' rewrites): durable first, then seen.

The events of a partition rise in the log as the offsets do; the move itself happens where the slot settles, as in a replay.
"""

import asyncio

from raylog.leader.flusher import Flusher
from raylog.leader.hosted import HostedPartition
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.ids import TopicPartition
from raylog.partition.outcomes import OffsetRejected
from raylog.storage.slot_events import LogStart


class LogStarts:
    def __init__(self, buffer: WriteBuffer, flusher: Flusher) -> None:
        self._buffer = buffer
        self._flusher = flusher
        self._under_way: dict[TopicPartition, tuple[int, asyncio.Future[None]]] = {}

    async def move(self, hosted: HostedPartition, offset: int) -> int | OffsetRejected:
        """What a client asks for: the log start offset, once ``offset`` (-1: the high watermark) or more is durable as such.

        Raises FencedError.
        """
        target = hosted.core.delete_records(offset)
        return target if isinstance(target, OffsetRejected) else await self.advance(hosted, target)

    async def advance(self, hosted: HostedPartition, target: int) -> int:
        """The log start offset, once ``target`` or more, at most the high watermark, is durable as such. Raises FencedError.

        For the leader's own parts: the topic's cleanup.policy is not asked.
        """
        if target > hosted.core.log_start_offset:
            # Several may wait for one event, and a connection that goes away takes nothing back.
            await asyncio.shield(self.begin(hosted, target))
        return hosted.core.log_start_offset

    def begin(self, hosted: HostedPartition, target: int) -> asyncio.Future[None]:
        """Have ``target``, above the log start offset, written for a partition that serves. Not to be cancelled."""
        assert hosted.core.log_start_offset < target <= hosted.core.high_watermark, (target, hosted.core.high_watermark)
        highest, written = self._under_way.get(hosted.partition, (-1, None))
        if written is None or target > highest:
            written = self._buffer.add_event(LogStart(partition=hosted.partition, offset=target))
            self._under_way[hosted.partition] = (target, written)
            self._flusher.poke()
        return written

    def durable(self, hosted: HostedPartition, offset: int) -> None:
        """The event's slot is durable."""
        hosted.core.log_start_durable(offset)
        highest, _ = self._under_way.get(hosted.partition, (-1, None))
        if highest <= offset:
            self._under_way.pop(hosted.partition, None)
