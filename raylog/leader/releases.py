"""What a leader's log remembers of partitions that it has handed over: pure, the same when it is replayed and while it grows.

- A release that the controller may not know of yet (``untold``): until it does, the partition is led nowhere, and only this log
  knows how it goes on: by which handover, and what changed after that. Led here again, or known to the controller, it is
  forgotten.
- Up to where the WAL is in the log for certain: a take-over that lies there, of a partition that is not led here, is over.
- The lowest slot of this log that rows of a partition handed over pointed into. Other logs have those rows now, so this log's
  own trimming stays below it for ever; garbage collection, which reads all logs, takes what lies above.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from raylog.model.changes import Changes
from raylog.model.ids import LogEpoch, Lsn, TopicPartition
from raylog.partition.partition import Partition
from raylog.storage.slot_events import HandOver, WalPosition

_NO_POSITION: Final = WalPosition(epoch=0, lsn=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """How a partition was left."""

    epoch_base: int
    """Of the adoption that has ended."""
    handover: int
    """The number of the leader's handover that has the partition."""
    changes: Changes | None = None
    """After the handover was written; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasesSnapshot:
    """In a checkpoint."""

    first_slot: int = 0
    """0: nothing was handed over that points into this log."""
    untold: tuple[tuple[TopicPartition, Release], ...] = ()
    wal_position: WalPosition = _NO_POSITION


class Releases:
    def __init__(self, snapshot: ReleasesSnapshot | None = None) -> None:
        snapshot = snapshot or ReleasesSnapshot()
        self.first_slot = snapshot.first_slot
        self.untold: dict[TopicPartition, Release] = dict(snapshot.untold)
        self._wal_position = snapshot.wal_position

    def handed_over(self, event: HandOver, partition: Partition) -> None:
        """The event is in the log, ``partition`` is as it was released, and nothing after it has the partition led here again."""
        self.points_at(event.first_slot)
        self.untold[event.partition] = Release(
            epoch_base=event.epoch_base,
            handover=event.handover,
            changes=partition.changes_since(event.handed_log_start_offset, event.handed_end_offset)
            if event.handed_end_offset >= 0
            else None,
        )

    def wal_is_here(self, position: WalPosition) -> None:
        """The event is in the log: they rise."""
        self._wal_position = position

    def has_had(self, epoch: LogEpoch, lsn: Lsn) -> bool:
        """Whether the WAL's entry is known to be in the log; if not, it may be there all the same."""
        return (epoch, lsn) <= (self._wal_position.epoch, self._wal_position.lsn)

    def points_at(self, slot: int) -> None:
        """Rows of other logs point into this one from ``slot`` on; 0: they do not."""
        if slot:
            self.first_slot = min(slot, self.first_slot or slot)

    def led_again(self, partition: TopicPartition) -> None:
        """This log has adopted the partition, so everybody knew."""
        self.untold.pop(partition, None)

    def told(self, partitions: Collection[TopicPartition]) -> None:
        """The controller knows of these. A log that is replayed has them again, as it does not say so."""
        for partition in partitions:
            self.untold.pop(partition, None)

    def snapshot(self) -> ReleasesSnapshot:
        return ReleasesSnapshot(
            first_slot=self.first_slot, untold=tuple(self.untold.items()), wal_position=self._wal_position
        )
