"""Idempotent producers of a partition (KIP-98): which batches each one sent last, so that none is appended twice or after a gap.

Rules, as in Kafka 4:

- A batch whose epoch and sequence range equal one of the producer's last five is a duplicate, answered with its first offsets.
- A lower epoch than the producer's is INVALID_PRODUCER_EPOCH.
- A higher epoch must begin at sequence 0, and forgets the batches of the earlier one; else OUT_OF_ORDER_SEQUENCE_NUMBER.
- Within an epoch the next batch begins one above the last sequence, which goes from 2**31 - 1 on to 0; else
  OUT_OF_ORDER_SEQUENCE_NUMBER.
- A producer that is not known (never seen, or expired) may begin at any sequence: UNKNOWN_PRODUCER_ID is not used any more
  (KIP-360).
- A producer without an append for ``producer.id.expiration.ms`` is forgotten, unless its transaction is open.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from kio.schema.errors import ErrorCode

from raylog.protocol.batch import BatchHeader

WINDOW_BATCHES: Final = 5
"""What a client may have in flight (``max.in.flight.requests.per.connection``), and so may have to send again."""
_SEQUENCE_LIMIT: Final = 2**31


class ProducerBatch(NamedTuple):
    """A batch that a producer appended."""

    base_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    timestamp_ms: int
    """The broker's time of the append."""


class SequenceFault(NamedTuple):
    error_code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerSnapshot:
    """One producer in a checkpoint."""

    producer_id: int
    producer_epoch: int
    batches: tuple[ProducerBatch, ...]
    """The last ones, oldest first; at most five."""
    coordinator_epoch: int = -1
    """Of the last transaction marker; -1: none."""
    transaction_first_offset: int = -1
    """Of the open transaction; -1: none."""


class ProducerEntry:
    __slots__ = ("batches", "coordinator_epoch", "epoch", "transaction_first_offset")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[ProducerBatch] = deque(maxlen=WINDOW_BATCHES)
        self.coordinator_epoch = -1
        self.transaction_first_offset = -1

    @property
    def last_timestamp_ms(self) -> int:
        return self.batches[-1].timestamp_ms if self.batches else -1


class ProducerStates:
    """All producers of a partition, the one that appended last at the end."""

    __slots__ = ("_entries", "_entries_max")

    def __init__(self, entries_max: int) -> None:
        self._entries: dict[int, ProducerEntry] = {}
        self._entries_max = entries_max

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, producer_id: int) -> ProducerEntry | None:
        return self._entries.get(producer_id)

    def check(self, header: BatchHeader) -> ProducerBatch | SequenceFault | None:
        """None when the batch of an idempotent producer comes next; the original when it is a duplicate; else why not."""
        entry = self._entries.get(header.producer_id)
        if entry is None:
            return None
        epoch, first = header.producer_epoch, header.base_sequence
        if epoch == entry.epoch:
            batches = entry.batches
            if not batches or first == (batches[-1].last_sequence + 1) % _SEQUENCE_LIMIT:
                return None
            last = header.last_sequence
            for batch in reversed(batches):
                if batch.base_sequence == first and batch.last_sequence == last:
                    return batch
            return SequenceFault(
                ErrorCode.out_of_order_sequence_number,
                f"Producer {header.producer_id} sent sequence number {first} after {batches[-1].last_sequence}.",
            )
        if epoch < entry.epoch:
            return SequenceFault(
                ErrorCode.invalid_producer_epoch,
                f"Producer {header.producer_id} is at epoch {entry.epoch}: a batch of epoch {epoch} comes too late.",
            )
        if first != 0:
            return SequenceFault(
                ErrorCode.out_of_order_sequence_number,
                f"Producer {header.producer_id} began its epoch {epoch} with sequence number {first}, not 0.",
            )
        return None

    def record(self, producer_id: int, producer_epoch: int, batch: ProducerBatch) -> None:
        """The producer's batch is in the log. Not checked again: a replay takes what the log holds."""
        entry = self._entries.pop(producer_id, None)
        if entry is None:
            entry = ProducerEntry(producer_epoch)
            if len(self._entries) >= self._entries_max:
                self._forget_idle()
        elif entry.epoch != producer_epoch:
            entry.batches.clear()
            entry.epoch = producer_epoch
        self._entries[producer_id] = entry
        entry.batches.append(batch)

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget producers that have been idle for ``expiration_ms``; how many those were."""
        idle = [
            producer_id
            for producer_id, entry in self._entries.items()
            if entry.transaction_first_offset < 0 and now_ms - entry.last_timestamp_ms >= expiration_ms
        ]
        for producer_id in idle:
            del self._entries[producer_id]
        return len(idle)

    def snapshot(self) -> tuple[ProducerSnapshot, ...]:
        return tuple(_snapshot(producer_id, entry) for producer_id, entry in self._entries.items())

    def appended_since(self, offset: int) -> tuple[ProducerSnapshot, ...]:
        """A snapshot of those that appended at ``offset`` or later, where a slot begins."""
        found = []
        for producer_id, entry in reversed(self._entries.items()):
            if entry.batches and entry.batches[-1].last_offset < offset:
                break
            found.append(_snapshot(producer_id, entry))
        return tuple(reversed(found))

    def restore(self, producers: Iterable[ProducerSnapshot]) -> None:
        """Take a snapshot's producers; there were none before. Of too many, the idle ones are forgotten."""
        assert not self._entries
        for producer in producers:
            if len(self._entries) >= self._entries_max:
                self._forget_idle()
            entry = self._entries[producer.producer_id] = ProducerEntry(producer.producer_epoch)
            entry.batches.extend(producer.batches)
            entry.coordinator_epoch = producer.coordinator_epoch
            entry.transaction_first_offset = producer.transaction_first_offset

    def validate(self, log_end_offset: int) -> None:
        assert len(self._entries) <= self._entries_max
        for producer_id, entry in self._entries.items():
            assert producer_id >= 0 and entry.epoch >= 0, producer_id
            next_offset = 0
            for batch in entry.batches:
                assert next_offset <= batch.base_offset <= batch.last_offset < log_end_offset, (producer_id, batch)
                next_offset = batch.last_offset + 1

    def _forget_idle(self) -> None:
        for producer_id, entry in self._entries.items():
            if entry.transaction_first_offset < 0:
                del self._entries[producer_id]
                return


def _snapshot(producer_id: int, entry: ProducerEntry) -> ProducerSnapshot:
    return ProducerSnapshot(
        producer_id=producer_id,
        producer_epoch=entry.epoch,
        batches=tuple(entry.batches),
        coordinator_epoch=entry.coordinator_epoch,
        transaction_first_offset=entry.transaction_first_offset,
    )
