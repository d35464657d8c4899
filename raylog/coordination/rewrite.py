"""How the log of a ``__consumer_offsets`` partition is kept short without log cleaning: now and then all live state is written
again at its end, and what lies before is then deleted.

Crash-safe at every point, as a step changes no state that a reader of the log would find:

- The records of a rewrite repeat what the log says already. A reader that finds some of them, or all and the old ones too, comes
  to the same state.
- What changes while a rewrite is under way is appended after its first record, so that nothing before that is needed once
  every group has been passed.
- The log's start moves only when the last record is durable.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from raylog.coordination.classic_group import ClassicGroup
from raylog.coordination.effects import KeyValue
from raylog.coordination.offsets import GroupOffsets
from raylog.coordination.records import encode_group_key, encode_offset, encode_offset_key
from raylog.coordination.settings import GroupSettings

_RECORD_OVERHEAD_BYTES = 12
"""Lengths, deltas and a share of the batch's header."""


_NO_OFFSETS = GroupOffsets()


class LogBound:
    """When to rewrite, and what comes next."""

    def __init__(self, settings: GroupSettings) -> None:
        self.settings = settings
        self._log_bytes = 0
        """Bytes from the log's start to its end."""
        self._log_records = 0
        self._limit_bytes = settings.rewrite_bytes_min
        self._todo: deque[str] | None = None
        """Groups not yet written again; None: no rewrite is under way."""
        self._group_todo: deque[tuple[str, int]] = deque()
        """Offsets of the present group not yet written again."""
        self._rewrite_bytes = 0
        self._bytes_since_start = 0
        self._first_ref = 0
        self._first_offset = 0
        self._last_ref = 0

    def replayed(self, key: bytes, value: bytes | None) -> None:
        self._log_bytes += _size(key, value)
        self._log_records += 1

    def loaded(self, live_records: int) -> None:
        """The log has been read; ``live_records`` of its records count."""
        if self._log_records:
            self._set_limit(self._log_bytes * live_records // self._log_records)

    def appended(self, records: Sequence[KeyValue]) -> None:
        size = sum([_size(key, value) for key, value in records])
        self._log_bytes += size
        self._bytes_since_start += size

    def durable(self, ref: int, base_offset: int) -> None:
        if ref == self._first_ref:
            self._first_offset = base_offset

    def step(
        self,
        groups: Mapping[str, ClassicGroup],
        offsets: Mapping[str, GroupOffsets],
        *,
        durable_ref: int,
        next_ref: int,
    ) -> tuple[list[KeyValue], int | None]:
        """What to append next, beginning with the append ``next_ref``; or the offset before which the log may go now; or
        neither. After an append ``chunk_appended`` is to be called."""
        if self._todo is None and not self._start(groups, offsets, next_ref):
            return [], None
        if self._last_ref > durable_ref:
            return [], None
        chunk = self._next_chunk(groups, offsets)
        if chunk:
            return chunk, None
        self._todo = None
        self._log_bytes = self._bytes_since_start
        self._set_limit(self._rewrite_bytes)
        return [], self._first_offset

    def chunk_appended(self, last_ref: int) -> None:
        """The next step waits until this append is durable."""
        self._last_ref = last_ref

    def _start(self, groups: Mapping[str, ClassicGroup], offsets: Mapping[str, GroupOffsets], next_ref: int) -> bool:
        if self._log_bytes <= self._limit_bytes:
            return False
        # Offsets of an open transaction are in the log only: they must not be cut off. And with no state at all there is
        # no record to begin with; the next append makes one.
        has_state = any(group.persisted for group in groups.values()) or any(own.committed for own in offsets.values())
        if not has_state or any(own.pending for own in offsets.values()):
            return False
        self._todo = deque(groups)
        self._group_todo.clear()
        self._first_ref, self._last_ref = next_ref, 0
        self._rewrite_bytes = self._bytes_since_start = 0
        return True

    def _next_chunk(self, groups: Mapping[str, ClassicGroup], offsets: Mapping[str, GroupOffsets]) -> list[KeyValue]:
        assert self._todo is not None
        chunk: list[KeyValue] = []
        size = 0
        while self._todo and size < self.settings.rewrite_chunk_bytes:
            group_id = self._todo[0]
            own = offsets.get(group_id, _NO_OFFSETS)
            if not self._group_todo:
                self._group_todo.extend((topic, partition) for topic, partition, _ in own.items())
                group = groups.get(group_id)
                if group is not None and group.persisted is not None:
                    chunk.append(KeyValue(encode_group_key(group_id), group.persisted))
                    size += _size(*chunk[-1])
            while self._group_todo and size < self.settings.rewrite_chunk_bytes:
                topic, partition = self._group_todo.popleft()
                found = own.get(topic, partition)
                if found is not None:
                    chunk.append(KeyValue(encode_offset_key(group_id, topic, partition), encode_offset(found)))
                    size += _size(*chunk[-1])
            if not self._group_todo:
                self._todo.popleft()
        self._rewrite_bytes += size
        return chunk

    def _set_limit(self, live_bytes: int) -> None:
        self._limit_bytes = max(self.settings.rewrite_bytes_min, self.settings.rewrite_factor * live_bytes)


def _size(key: bytes, value: bytes | None) -> int:
    return len(key) + (0 if value is None else len(value)) + _RECORD_OVERHEAD_BYTES
