"""Judges a history, in the manner of Jepsen's Kafka workload.

The logs read at the end are the truth that all else is held against: what was acknowledged is there, where it was said to be;
what anybody ever saw at an offset is what is there; nothing is there twice that was sent once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from lab.history.history import UNKNOWN_OFFSET, History, Part
from lab.history.retention_check import check_retention


def check(history: History) -> list[str]:
    """Every anomaly, one sentence each; none is good."""
    return [
        *history.oddities,
        *_producer_ids(history),
        *_starts(history),
        *check_retention(history),
        *_log_shape(history),
        *_lost_and_moved(history),
        *_duplicates_and_strangers(history),
        *_producer_order(history),
        *_polls(history),
        *_one_value(history),
        *_commits(history),
        *_consumed(history),
    ]


def _producer_ids(history: History) -> Iterator[str]:
    for producer_id, count in Counter(history.producer_ids).items():
        if count > 1:
            yield f"producer id {producer_id} was given out {count} times"


def _starts(history: History) -> Iterator[str]:
    """A log starts no lower than an acknowledged deletion put it; where it may start otherwise ``check_retention`` knows."""
    for part in history.logs:
        start = history.starts.get(part, 0)
        acknowledged = max(
            (one.before_offset for one in history.deletions if one.part == part and one.is_acknowledged), default=0
        )
        if start < acknowledged:
            yield f"deletion undone: {part} starts at {start}, though all below {acknowledged} was deleted"


def _log_shape(history: History) -> Iterator[str]:
    for part, log in history.logs.items():
        for expected, found in enumerate(log, history.starts.get(part, 0)):
            if found.offset != expected:
                yield f"gap: {part} goes from offset {expected - 1} to {found.offset}"
                break
        for before, after in pairwise(log):
            if after.leader_epoch < before.leader_epoch:
                yield f"leader epoch goes back: {part}@{after.offset} from {before.leader_epoch} to {after.leader_epoch}"


def _lost_and_moved(history: History) -> Iterator[str]:
    places: dict[tuple[Part, str], int] = {
        (part, found.value): found.offset for part, log in history.logs.items() for found in log
    }
    for batch in history.batches:
        start = history.starts.get(batch.part, 0)
        if batch.part in history.deleted:
            continue
        if not batch.is_acknowledged or (start and batch.base_offset < start):
            continue
        for delta, value in enumerate(batch.values):
            place = places.get((batch.part, value))
            if place is None:
                yield f"lost write: {value} was acknowledged at {batch.part}@{batch.base_offset} and is not in the log"
            elif batch.base_offset != UNKNOWN_OFFSET and place != batch.base_offset + delta:
                yield f"moved write: {value} was acknowledged at {batch.part}@{batch.base_offset + delta}, and is at {place}"


def _duplicates_and_strangers(history: History) -> Iterator[str]:
    sent = {(batch.part, value) for batch in history.batches for value in batch.values}
    for part, log in history.logs.items():
        seen: dict[str, int] = {}
        for found in log:
            if found.value in seen:
                yield f"duplicate: {found.value} is at {part}@{seen[found.value]} and @{found.offset}"
            seen[found.value] = found.offset
            if (part, found.value) not in sent:
                yield f"stranger: {found.value!r} at {part}@{found.offset} was never sent there"


def _producer_order(history: History) -> Iterator[str]:
    """An idempotent producer's batches are in the log in its order, each whole, none left out before one that is there."""
    sent: defaultdict[tuple[str, Part], list[str]] = defaultdict(list)
    for batch in sorted(history.batches, key=lambda batch: batch.number):
        if batch.is_idempotent:
            sent[batch.producer, batch.part] += batch.values
    for (producer, part), values in sent.items():
        known = set(values)
        in_log = [found.value for found in history.logs.get(part, ()) if found.value in known]
        # What comes before the first that is there may have been deleted, from the front.
        first = values.index(in_log[0]) if in_log and history.starts.get(part, 0) else 0
        if in_log != values[first : first + len(in_log)]:
            yield f"order: {producer} sent {part} {_first_difference(values[first:], in_log)}"


def _first_difference(sent: list[str], in_log: list[str]) -> str:
    for expected, found in zip(sent, in_log, strict=False):
        if expected != found:
            return f"{expected} where the log has {found}"
    return f"{len(sent)} values where the log has {len(in_log)}"


def _polls(history: History) -> Iterator[str]:
    next_offset: dict[tuple[str, Part], int] = {}
    for poll in history.polls:
        key = (poll.session, poll.part)
        expected = next_offset.get(key, poll.position)
        log = history.logs.get(poll.part, [])
        start = history.starts.get(poll.part, 0)
        for found in poll.found:
            if found.offset < expected:
                yield f"non-monotonic poll: {poll.session} got {poll.part}@{found.offset} after @{expected - 1}"
            elif found.offset > expected:
                yield f"skipped poll: {poll.session} got {poll.part}@{found.offset} where @{expected} was next"
            expected = found.offset + 1
            if found.offset < start or poll.part in history.deleted:
                continue
            if found.offset >= start + len(log):
                yield f"unseen write: {poll.session} saw {found.value} at {poll.part}@{found.offset}, which is not there"
            elif (there := log[found.offset - start]).value != found.value:
                yield f"two values: {poll.part}@{found.offset} was {found.value} to {poll.session}, and is {there.value}"
            elif there.leader_epoch != found.leader_epoch:
                yield f"two epochs: {poll.part}@{found.offset} had {found.leader_epoch}, and has {there.leader_epoch}"
        next_offset[key] = expected


def _one_value(history: History) -> Iterator[str]:
    """Whoever saw an offset, or was told it, saw the same: also where the record is gone by the end."""
    known: dict[tuple[Part, int], tuple[str, str]] = {}
    for batch in history.batches:
        if batch.is_acknowledged and batch.base_offset != UNKNOWN_OFFSET:
            for delta, value in enumerate(batch.values):
                known.setdefault((batch.part, batch.base_offset + delta), (value, batch.producer))
    for poll in history.polls:
        for found in poll.found:
            value, who = known.setdefault((poll.part, found.offset), (found.value, poll.session))
            if value != found.value:
                yield (
                    f"two values: {poll.part}@{found.offset} was {value} to {who}, and {found.value} to {poll.session}"
                )


def _commits(history: History) -> Iterator[str]:
    """Whoever asks after a commit was acknowledged is told that offset or a later one, and one that somebody committed; and
    nobody is told less than somebody was before he asked."""
    tried = {(commit.group, commit.part, commit.offset) for commit in history.commits}
    for read in history.committed:
        if read.part in history.deleted:
            continue  # its offsets go with its topic
        known = [
            commit.offset
            for commit in history.commits
            if (commit.group, commit.part) == (read.group, read.part)
            and commit.acknowledged_at is not None
            and commit.acknowledged_at < read.asked_at
        ]
        known += [
            other.offset
            for other in history.committed
            if (other.group, other.part) == (read.group, read.part) and other.answered_at < read.asked_at
        ]
        if read.offset < max(known, default=-1):
            yield f"committed offset goes back: {read.group} {read.part} from {max(known)} to {read.offset}"
        if read.offset >= 0 and (read.group, read.part, read.offset) not in tried:
            yield f"stranger: {read.group} {read.part} has the committed offset {read.offset}, which nobody committed"


def _consumed(history: History) -> Iterator[str]:
    """What lies below a group's committed offset was polled by one of its members, unless it had been deleted before."""
    for group, part in dict.fromkeys((read.group, read.part) for read in history.committed):
        reads = [read.offset for read in history.committed if (read.group, read.part) == (group, part)]
        polls = [poll for poll in history.polls if (poll.group, poll.part) == (group, part)]
        polled = {found.offset for poll in polls for found in poll.found}
        for found in history.logs.get(part, ()):
            if found.offset < reads[-1] and found.offset not in polled:
                yield f"unseen by its group: {group} committed {part}@{reads[-1]}, and nobody polled @{found.offset}"
                break
