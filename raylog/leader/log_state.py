"""What a leader log says: the fold of its slots, from nothing or from a checkpoint. Pure.

Slots are applied in log order. A partition of a checkpoint may be newer than the checkpoint's slot (it was written while the
leader went on), so each says as of which slot it is, and older slots pass it by. Rows of a partition that this log does
not lead any more, as a later slot releases it, are passed over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from raylog.leader.hosted import config_of
from raylog.leader.releases import Releases, ReleasesSnapshot
from raylog.model.ids import LeaderId, TopicPartition
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.partition.partition import Partition
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta
from raylog.storage.slot_events import (
    Adopt,
    Delete,
    HandOver,
    LogStart,
    Release,
    SegmentPut,
    SlotEvent,
    Swap,
    TakeOver,
    WalPosition,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedSnapshot:
    """One led partition in a checkpoint."""

    partition: TopicPartition
    topic_name: str
    epoch_base: int
    configs: Mapping[str, str]
    as_of_slot: int
    """The state is that after this slot."""
    state: PartitionSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSnapshot:
    """What a checkpoint says."""

    partitions: tuple[LedSnapshot, ...] = ()
    releases: ReleasesSnapshot = field(default_factory=ReleasesSnapshot)


@dataclass(slots=True, kw_only=True)
class Led:
    """A partition that the log leads, as of the slots applied so far."""

    core: Partition
    epoch_base: int
    configs: dict[str, str]
    as_of_slot: int


class LogState:
    def __init__(self, leader_id: LeaderId, checkpoint: LogSnapshot | None = None) -> None:
        checkpoint = checkpoint or LogSnapshot()
        self._leader_id = leader_id
        self.partitions: dict[TopicPartition, Led] = {}
        self.announced: set[int] = set()
        """Segments that were put and not swapped in yet, since the checkpoint: their writer may still do so."""
        self.releases = Releases(checkpoint.releases)
        for snapshot in checkpoint.partitions:
            self._add(
                snapshot.partition,
                snapshot.topic_name,
                snapshot.epoch_base,
                snapshot.configs,
                snapshot.as_of_slot,
                snapshot.state,
            )

    def taken_over(self, meta: SlotMeta) -> list[TakeOver]:
        """The slot's events whose handovers must be known before it is applied."""
        return [e for e in meta.events if isinstance(e, TakeOver) and e.partition not in self.partitions]

    def apply(
        self, slot: int, meta: SlotMeta, handed: Mapping[TopicPartition, PartitionSnapshot] = MappingProxyType({})
    ) -> None:
        """One more slot, with what the handovers of ``taken_over`` say. Raises CorruptError when its rows do not continue what
        came before."""
        for event in meta.events:
            if not isinstance(event, HandOver):
                self._apply_event(slot, event, handed)
        producers = _by_partition(meta.producers)
        for partition, rows in _by_partition(meta.index).items():
            led = self.partitions.get(partition)
            if led is not None and slot > led.as_of_slot:
                led.core.replay_slot(self._leader_id, slot, rows, producers.get(partition, ()))
        for event in meta.handed_over:
            self._hand_over(slot, event)

    def _hand_over(self, slot: int, event: HandOver) -> None:
        led = self.partitions.get(event.partition)
        if led is None or slot <= led.as_of_slot:
            # Led again since, or it left while the checkpoint was made, whose releases have it as long as it is untold.
            self.releases.points_at(event.first_slot)
        else:
            del self.partitions[event.partition]
            self.releases.handed_over(event, led.core)

    def _apply_event(self, slot: int, event: SlotEvent, handed: Mapping[TopicPartition, PartitionSnapshot]) -> None:
        match event:
            case Adopt() | TakeOver():
                self.releases.led_again(event.partition)
                if event.partition not in self.partitions:
                    state = handed[event.partition] if isinstance(event, TakeOver) else None
                    self._add(event.partition, event.topic_name, event.epoch_base, event.configs, slot - 1, state)
            case Release() | Delete():
                led = self.partitions.get(event.partition)
                # A checkpoint's partition that is newer than this was led again since.
                if led is not None and slot > led.as_of_slot:
                    del self.partitions[event.partition]
            case LogStart():
                led = self.partitions.get(event.partition)
                if led is not None and slot > led.as_of_slot:
                    led.core.replay_log_start(event.offset)
            case SegmentPut():
                self.announced.add(event.segment)
            case Swap():
                self.announced.discard(event.segment)
                for part in event.parts:
                    led = self.partitions.get(part.partition)
                    if led is not None and slot > led.as_of_slot:
                        led.core.swap(event.segment, part.rows)
            case WalPosition():
                self.releases.wal_is_here(event)
            case _:
                raise AssertionError(f"{event} is applied after the slot's batches")

    def take_over(self, event: TakeOver, handed: PartitionSnapshot, *, as_of_slot: int) -> None:
        """An adoption that is in the WAL alone: the next slots will have it."""
        self._add(event.partition, event.topic_name, event.epoch_base, event.configs, as_of_slot, handed)

    def _add(
        self,
        partition: TopicPartition,
        topic_name: str,
        epoch_base: int,
        configs: Mapping[str, str],
        as_of_slot: int,
        snapshot: PartitionSnapshot | None,
    ) -> None:
        core = Partition(partition=partition, topic_name=topic_name, config=config_of(configs, {}), snapshot=snapshot)
        self.partitions[partition] = Led(core=core, epoch_base=epoch_base, configs=dict(configs), as_of_slot=as_of_slot)


_Row = TypeVar("_Row", IndexRow, ProducerRow)


def _by_partition(rows: Sequence[_Row]) -> dict[TopicPartition, list[_Row]]:
    found: dict[TopicPartition, list[_Row]] = {}
    for row in rows:
        partition = TopicPartition(row[0], row[1])
        own = found.get(partition)
        if own is None:
            found[partition] = [row]
        else:
            own.append(row)
    return found
