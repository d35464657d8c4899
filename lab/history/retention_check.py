"""Judges where logs start: records go from the front, by a deletion that somebody asked for or by their topic's retention.

Sound for whatever is uncertain: a record counts as no younger than its first sending, and retention by size as of the end, since
what is kept only grows. A topic keeps records by time or by size, not by both.
"""

from collections.abc import Iterator

from lab.history.history import UNKNOWN_OFFSET, History, Part, Retention, SeenStart

_SKEW_MS_MAX = 500
"""A leader's clock is wrong by no more."""


def check_retention(history: History) -> Iterator[str]:
    """Every start that somebody saw, the last ones included."""
    seen = {(start.part, start.offset): start for start in reversed(history.seen_starts)}
    for start in reversed(seen.values()):
        if start.offset and start.part not in history.deleted:
            yield from _judge(history, start)


def _judge(history: History, start: SeenStart) -> Iterator[str]:
    asked = [one.before_offset for one in history.deletions if one.part == start.part]
    if start.offset in asked:
        return
    kept = history.retention.get(start.part.topic, Retention())
    batches = [batch for batch in history.batches if batch.part == start.part]
    if kept.ms >= 0:
        deleted_below = max((offset for offset in asked if offset < start.offset), default=0)
        for batch in batches:
            age_ms = start.at_ms - batch.sent_at_ms
            if deleted_below <= batch.base_offset < start.offset and age_ms + _SKEW_MS_MAX < kept.ms:
                yield (
                    f"lost writes: {start.part} started at {start.offset}, though {batch.values[0]} was {age_ms} ms old at most, "
                    f"and {kept.ms} ms are kept"
                )
                return
    elif kept.bytes >= 0:
        left_bytes = _bytes_from(history, start.part, start.offset)
        if left_bytes < kept.bytes:
            yield (
                f"lost writes: {start.part} started at {start.offset}, though {kept.bytes} bytes are kept and there are but "
                f"{left_bytes} from there on"
            )
    else:
        yield f"lost writes: {start.part} starts at {start.offset}, where nobody asked it to"


def _bytes_from(history: History, part: Part, offset: int) -> int:
    """At most. Of the batches that end at the offset or above it; deletions may have taken some of them since."""
    ends = {found.value: found.offset for found in history.logs.get(part, ())}
    total = 0
    for batch in history.batches:
        if batch.part != part:
            continue
        known = batch.base_offset + len(batch.values) - 1 if batch.base_offset != UNKNOWN_OFFSET else UNKNOWN_OFFSET
        if max(known, ends.get(batch.values[-1], UNKNOWN_OFFSET)) >= offset:
            total += batch.size_bytes
    return total
