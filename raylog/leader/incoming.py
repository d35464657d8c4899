"""Handovers that are read beforehand: of partitions that other leaders still lead, and this one is to lead next.

Nothing depends on it but time. What is known so is used only if the partition's assignment names the same handover; and it is
forgotten when the partition is taken over, is offered anew, or has not come for long. Requests for such partitions may wait here
(``early_calls``).
"""

from collections.abc import Sequence
from typing import NamedTuple

from raylog.leader.backoff import backoff
from raylog.leader.early_calls import EarlyCalls
from raylog.leader.handover_reader import HandoverReader
from raylog.model.admin import ControllerClient, HandoverOffer, TakenFrom
from raylog.model.clock import Clock, Random
from raylog.model.errors import CorruptError, NotFoundError, RetryError
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.logs import RoleLogger, fields
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.storage.object_store import ObjectStore

_KEPT_S = 60.0
"""A partition that has not come by then was called off."""


class _Expected(NamedTuple):
    offer: HandoverOffer
    state: PartitionSnapshot
    at_s: float


class Incoming:
    def __init__(
        self,
        *,
        leader_id: LeaderId,
        log_epoch: LogEpoch,
        store: ObjectStore,
        controller: ControllerClient,
        early_calls: EarlyCalls,
        clock: Clock,
        rng: Random,
        logger: RoleLogger,
    ) -> None:
        self._leader_id = leader_id
        self._log_epoch = log_epoch
        self._store = store
        self._controller = controller
        self._early_calls = early_calls
        self._clock = clock
        self._rng = rng
        self._logger = logger
        self._expected: dict[TopicPartition, _Expected] = {}

    async def run(self) -> None:
        """Read what is offered, for ever. Raises FencedError."""
        read: Sequence[HandoverOffer] = ()
        pauses = backoff(self._rng)
        while True:
            try:
                read = await self._controller.watch_offers(self._leader_id, self._log_epoch, read)
            except RetryError:
                read = ()
                await self._clock.sleep(next(pauses))
                continue
            pauses = backoff(self._rng)
            for offer in read:
                await self._read(offer)

    def take(self, partition: TopicPartition, source: TakenFrom) -> PartitionSnapshot | None:
        """What the handover says with which the partition goes on, if it has been read. It is here now, so it is forgotten."""
        self._early_calls.forget(partition)
        expected = self._expected.pop(partition, None)
        if expected is None or (expected.offer.leader_id, expected.offer.handover) != (
            source.leader_id,
            source.handover,
        ):
            return None
        return expected.state

    async def _read(self, offer: HandoverOffer) -> None:
        now_s = self._clock.monotonic()
        for partition in [p for p, expected in self._expected.items() if now_s - expected.at_s >= _KEPT_S]:
            self._early_calls.forget(partition)
            del self._expected[partition]
        try:
            found = await HandoverReader(self._store).read(offer.leader_id, offer.handover)
        except (RetryError, NotFoundError, CorruptError) as error:  # who takes over reads it again, and judges it
            self._logger.warning("a handover cannot be read beforehand", extra=fields(error=error))
            return
        for partition in offer.partitions:
            if partition in found:
                self._expected[partition] = _Expected(offer, found[partition].state, now_s)
                self._early_calls.expect(partition, found[partition].topic_name)
