"""Open and ended transactions of a partition (KIP-98): they bound the last stable offset, and read_committed skips the aborted.

The last stable offset is the first offset of the oldest transaction that is open, or whose marker is not yet durable; without
one it is the high watermark.
"""

from bisect import bisect_left
from dataclasses import dataclass

from raylog.partition.outcomes import NO_OFFSET, AbortedTransaction


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionsSnapshot:
    """What a checkpoint keeps. Ended transactions whose marker is not durable are not part of it: it holds durable state."""

    open: tuple[tuple[int, int], ...] = ()
    """(producer id, first offset)."""
    aborted: tuple[AbortedTransaction, ...] = ()


class Transactions:
    __slots__ = ("_aborted", "_ended", "_open")

    def __init__(self, snapshot: TransactionsSnapshot | None = None) -> None:
        self._open: dict[int, int] = dict(snapshot.open) if snapshot else {}
        self._ended: dict[int, int] = {}
        """First offset to marker offset, of transactions whose marker is not yet below the high watermark."""
        self._aborted: list[AbortedTransaction] = list(snapshot.aborted) if snapshot else []
        """By marker offset, so in log order."""

    def first_offset(self, producer_id: int) -> int:
        """Of the producer's open transaction; -1: none is open."""
        return self._open.get(producer_id, NO_OFFSET)

    def begin(self, producer_id: int, first_offset: int) -> None:
        assert producer_id not in self._open, producer_id
        self._open[producer_id] = first_offset

    def end(self, producer_id: int, marker_offset: int, *, committed: bool) -> None:
        """The producer's commit or abort marker is appended at ``marker_offset``; no transaction may be open for it."""
        first_offset = self._open.pop(producer_id, None)
        if first_offset is None:
            return
        self._ended[first_offset] = marker_offset
        if not committed:
            stable = min(self._open.values(), default=marker_offset + 1)
            self._aborted.append(AbortedTransaction(producer_id, first_offset, marker_offset, stable))

    def advance(self, high_watermark: int) -> None:
        """Markers below the high watermark are durable: their transactions hold nothing back any more."""
        if self._ended:
            self._ended = {first: marker for first, marker in self._ended.items() if marker >= high_watermark}

    def first_unstable_offset(self) -> int | None:
        if not self._open and not self._ended:
            return None
        return min((*self._open.values(), *self._ended))

    def aborted(self, from_offset: int, end_offset: int) -> tuple[AbortedTransaction, ...]:
        """Aborted transactions with records in ``from_offset`` to ``end_offset`` (exclusive), in the order of their markers."""
        found = []
        for transaction in self._aborted[bisect_left(self._aborted, from_offset, key=_marker_offset) :]:
            if transaction.first_offset < end_offset:
                found.append(transaction)
            if transaction.last_stable_offset >= end_offset:
                break
        return tuple(found)

    def trim(self, log_start_offset: int) -> None:
        del self._aborted[: bisect_left(self._aborted, log_start_offset, key=_marker_offset)]

    def snapshot(self) -> TransactionsSnapshot:
        return TransactionsSnapshot(open=tuple(self._open.items()), aborted=tuple(self._aborted))

    def validate(self, log_end_offset: int) -> None:
        offsets = (*self._open.values(), *self._ended.values())
        assert all(0 <= offset < log_end_offset for offset in offsets), offsets
        markers = [transaction.last_offset for transaction in self._aborted]
        assert markers == sorted(markers)


def _marker_offset(transaction: AbortedTransaction) -> int:
    return transaction.last_offset
