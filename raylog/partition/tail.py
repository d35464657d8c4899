"""What a partition has appended but not yet flushed, as runs of offsets: enough to find a timestamp, never the bytes.

Batches are folded into runs of up to 256 KiB (or one batch), so that a busy partition's tail stays short however small its
batches are, and looking inside a run reads little.
"""

from collections import deque
from typing import Final, NamedTuple

from raylog.partition.outcomes import NO_TIMESTAMP_MS

RUN_BYTES_MAX: Final = 256 * 1024


class TailRun(NamedTuple):
    first_offset: int
    last_offset: int
    max_timestamp_ms: int


class Tail:
    __slots__ = ("_first", "_last", "_newest", "_run_bytes", "_runs")

    def __init__(self) -> None:
        self._runs: deque[TailRun] = deque()
        # The open run, in plain fields as each append changes it; it is there when its size is above 0.
        self._first = 0
        self._last = 0
        self._newest = NO_TIMESTAMP_MS
        self._run_bytes = 0

    def append(self, first_offset: int, last_offset: int, max_timestamp_ms: int, size_bytes: int) -> None:
        if self._run_bytes and self._run_bytes + size_bytes > RUN_BYTES_MAX:
            self._runs.append(TailRun(self._first, self._last, self._newest))
            self._run_bytes = 0
        if self._run_bytes == 0:
            self._first = first_offset
            self._newest = max_timestamp_ms
        elif max_timestamp_ms > self._newest:
            self._newest = max_timestamp_ms
        self._last = last_offset
        self._run_bytes += size_bytes

    def runs(self) -> list[TailRun]:
        """In offset order."""
        open_run = [TailRun(self._first, self._last, self._newest)] if self._run_bytes else []
        return [*self._runs, *open_run]

    def flushed(self, end_offset: int) -> None:
        """Offsets below ``end_offset`` are in the index now.

        A run that reaches over it stays, cut; its timestamp may then be too high.
        """
        while self._runs and self._runs[0].last_offset < end_offset:
            self._runs.popleft()
        if self._runs:
            self._runs[0] = self._runs[0]._replace(first_offset=max(self._runs[0].first_offset, end_offset))
        elif self._run_bytes:
            if self._last < end_offset:
                self._run_bytes = 0
            else:
                self._first = max(self._first, end_offset)

    def validate(self, flushed_end_offset: int, log_end_offset: int) -> None:
        """The runs are what lies between the flushed end and the log's end, without a gap."""
        next_offset = flushed_end_offset
        for run in self.runs():
            assert run.first_offset == next_offset <= run.last_offset, run
            next_offset = run.last_offset + 1
        assert next_offset == log_end_offset, (next_offset, log_end_offset)
