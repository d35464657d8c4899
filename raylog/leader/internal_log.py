"""The leader's own appends to and reads from partitions that it leads, past the request path: what coordinators stand on."""

import asyncio

from raylog.leader.acks import Acks
from raylog.leader.append import Appender
from raylog.leader.batch_reader import BatchReader
from raylog.leader.hosted import HostedPartition, HostedPartitions
from raylog.leader.log_start import LogStarts
from raylog.model.buffers import Buffer
from raylog.model.errors import InvalidError, RaylogError, StaleRouteError
from raylog.model.ids import TopicPartition
from raylog.partition.outcomes import Rejected
from raylog.protocol.batch import list_headers


class LeaderInternalLog:
    """See ``raylog.leader.coordinator.InternalLog``."""

    def __init__(
        self,
        *,
        partitions: HostedPartitions,
        appender: Appender,
        acks: Acks,
        reader: BatchReader,
        log_starts: LogStarts,
    ) -> None:
        self._partitions = partitions
        self._appender = appender
        self._acks = acks
        self._reader = reader
        self._log_starts = log_starts
        self._ended: RaylogError | None = None

    @property
    def has_room(self) -> bool:
        return self._appender.has_room_for_coordinators

    def append_internal(self, partition: TopicPartition, batch: Buffer) -> asyncio.Future[int]:
        hosted = self._hosted(partition)
        outcome = self._appender.append(hosted, batch, list_headers(batch), from_client=False)
        if isinstance(outcome, Rejected):
            raise InvalidError(f"The leader's own batch for '{hosted.topic_name}' was refused: {outcome.message}")
        return self._acks.wait(self._appender.last_lsn, outcome.base_offset)

    async def read_internal(self, partition: TopicPartition, offset: int, max_bytes: int) -> Buffer:
        hosted = self._hosted(partition)
        high_watermark = hosted.core.high_watermark
        if not hosted.core.log_start_offset <= offset <= high_watermark:
            raise InvalidError(f"Offset {offset} of '{hosted.topic_name}' is not there to be read.")
        if offset == high_watermark:
            return b""
        return await self._reader.read(hosted, offset, high_watermark, max_bytes)

    def bounds_internal(self, partition: TopicPartition) -> tuple[int, int]:
        core = self._hosted(partition).core
        return core.log_start_offset, core.high_watermark

    async def delete_records_internal(self, partition: TopicPartition, before_offset: int) -> None:
        hosted = self._hosted(partition)
        if not 0 <= before_offset <= hosted.core.high_watermark:
            raise InvalidError(f"Offset {before_offset} of '{hosted.topic_name}' is not there to be deleted up to.")
        await self._log_starts.advance(hosted, before_offset)

    def stop(self, error: RaylogError) -> None:
        """The leader serves no more; ``error`` is what callers get from now on."""
        self._ended = error

    def _hosted(self, partition: TopicPartition) -> HostedPartition:
        if self._ended is not None:
            raise self._ended
        hosted = self._partitions.get(partition)
        if hosted is None:
            raise StaleRouteError(f"Partition {partition.partition} of topic {partition.topic_id} is not led here.")
        return hosted
