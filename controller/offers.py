"""Handovers that leaders have written of partitions that they still lead, for those who are to lead them next to read beforehand.

Nothing depends on it but time: what is offered is kept in memory alone, and forgotten when it is read, when its reader takes too
long, or with the controller. A leader that has heard of no offer reads the handover when the partition is its own.
"""

from collections.abc import Awaitable, Callable, Sequence

from controller.journal import Journal
from controller.leader_watch import LeaderWatch
from raylog.model.admin import HandoverOffer
from raylog.model.ids import LeaderId, TopicPartition


class HandoverOffers:
    def __init__(
        self,
        *,
        journal: Callable[[], Journal],
        until: Callable[[Callable[[], bool], float], Awaitable[bool]],
        changed: Callable[[], None],
        watch: LeaderWatch,
        poll_s_max: float,
        read_s_max: float,
    ) -> None:
        """``until`` waits for something so many seconds at most, and looks when ``changed`` was called. ``read_s_max``: a leader
        is waited for so long."""
        self._journal = journal
        self._until = until
        self._changed = changed
        self._watch = watch
        self._poll_s_max = poll_s_max
        self._read_s_max = read_s_max
        self._open: dict[LeaderId, dict[HandoverOffer, None]] = {}
        """By who is to read it."""

    async def offer(self, leader_id: LeaderId, handover: int, partitions: Sequence[TopicPartition]) -> None:
        """Returns once all have read it who are to lead some of these partitions, and are there; or have had enough time."""
        offers = {
            reader: HandoverOffer(leader_id=leader_id, handover=handover, partitions=tuple(own))
            for reader, own in self._readers(partitions).items()
        }
        for reader, offer in offers.items():
            self._open.setdefault(reader, {})[offer] = None
        self._changed()
        try:
            await self._until(lambda: not self._are_open(offers), self._read_s_max)
        finally:
            for reader, offer in offers.items():
                self._take_out(reader, offer)

    async def watch(self, leader_id: LeaderId, read: Sequence[HandoverOffer]) -> tuple[HandoverOffer, ...]:
        """What a leader is to read that has ``read`` these, as soon as there is something; none if there was not for a while."""
        for offer in read:
            self._take_out(leader_id, offer)
        if read:
            self._changed()
        await self._until(lambda: leader_id in self._open, self._poll_s_max)
        return tuple(self._open.get(leader_id, ()))

    def _readers(self, partitions: Sequence[TopicPartition]) -> dict[LeaderId, list[TopicPartition]]:
        state = self._journal().durable
        readers: dict[LeaderId, list[TopicPartition]] = {}
        for partition in partitions:
            found = state.partition(partition)
            if found is not None and found.moving_to is not None and self._watch.is_there(found.moving_to):
                readers.setdefault(found.moving_to, []).append(partition)
        return readers

    def _are_open(self, offers: dict[LeaderId, HandoverOffer]) -> bool:
        return any(offer in self._open.get(reader, ()) for reader, offer in offers.items())

    def _take_out(self, reader: LeaderId, offer: HandoverOffer) -> None:
        own = self._open.get(reader, {})
        own.pop(offer, None)
        if not own:
            self._open.pop(reader, None)
