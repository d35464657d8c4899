"""Which leader epoch began at which offset (KIP-101, KIP-279): answers OffsetForLeaderEpoch, so that clients detect truncation.

Epochs and start offsets both rise strictly. An epoch that got no record leaves no trace once the next one begins.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from raylog.partition.outcomes import NO_EPOCH, NO_OFFSET, EpochEnd

UNKNOWN_EPOCH_END = EpochEnd(NO_EPOCH, NO_OFFSET)


class LeaderEpochs:
    __slots__ = ("_epochs", "_starts")

    def __init__(self, entries: Iterable[tuple[int, int]] = ()) -> None:
        self._epochs: list[int] = []
        self._starts: list[int] = []
        for epoch, start_offset in entries:
            self.assign(epoch, start_offset)

    @property
    def latest(self) -> int:
        """-1 when there is none."""
        return self._epochs[-1] if self._epochs else NO_EPOCH

    def entries(self) -> tuple[tuple[int, int], ...]:
        """(epoch, start offset) in order."""
        return tuple(zip(self._epochs, self._starts, strict=True))

    def assign(self, epoch: int, start_offset: int) -> None:
        """``epoch`` begins at ``start_offset``; nothing happens when it is the latest already."""
        if self._epochs and epoch == self._epochs[-1]:
            assert start_offset >= self._starts[-1], (epoch, start_offset, self.entries())
            return
        assert epoch > self.latest, (epoch, start_offset, self.entries())
        while self._starts and self._starts[-1] >= start_offset:
            assert self._starts[-1] == start_offset, (epoch, start_offset, self.entries())
            self._starts.pop()
            self._epochs.pop()
        self._epochs.append(epoch)
        self._starts.append(start_offset)

    def end_of(self, epoch: int, end_offset: int) -> EpochEnd:
        """The largest epoch at or below ``epoch``, and where it ends; ``end_offset`` is where the latest one ends."""
        if epoch < 0 or epoch > self.latest:
            return UNKNOWN_EPOCH_END
        after = bisect_right(self._epochs, epoch)
        if after == len(self._epochs):
            return EpochEnd(epoch, end_offset)
        found = self._epochs[after - 1] if after else epoch
        return EpochEnd(found, self._starts[after])

    def epoch_at(self, offset: int) -> int:
        """The epoch under which the record at ``offset`` was written; -1 when that is before all that is known."""
        after = bisect_right(self._starts, offset)
        return self._epochs[after - 1] if after else NO_EPOCH

    def trim(self, log_start_offset: int) -> None:
        """Forget epochs that ended at or below the log's start; the one it lies in begins there now."""
        drop = bisect_right(self._starts, log_start_offset) - 1
        if drop < 0:
            return
        del self._epochs[:drop], self._starts[:drop]
        self._starts[0] = log_start_offset

    def copy(self) -> "LeaderEpochs":
        return LeaderEpochs(self.entries())

    def validate(self) -> None:
        for column in (self._epochs, self._starts):
            assert all(a < b for a, b in pairwise(column)), self.entries()
        assert len(self._epochs) == len(self._starts)
        assert not self._epochs or (self._epochs[0] >= 0 and self._starts[0] >= 0), self.entries()
