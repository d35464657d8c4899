"""The checker itself: a sound history passes, and each anomaly is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.history.checker import check
from lab.history.history import Batch, Commit, CommittedRead, Deletion, Found, History, Part, Poll, Retention, SeenStart

PART = Part("orders", 0)


def sound() -> History:
    """Two batches of an idempotent producer, one polled, one offset committed."""
    log = [Found(0, "a", 1), Found(1, "b", 1), Found(2, "c", 2)]
    batches = [
        Batch(
            producer="p",
            part=PART,
            values=values,
            number=i,
            is_idempotent=True,
            is_acknowledged=True,
            base_offset=at,
            sent_at_ms=1_000 * i,
            size_bytes=100,
        )
        for i, (values, at) in enumerate([(("a", "b"), 0), (("c",), 2)])
    ]
    return History(
        batches=batches,
        polls=[
            Poll(session="s", part=PART, position=0, found=log[:2], group="g"),
            Poll(session="s", part=PART, position=2, found=log[2:], group="g"),
        ],
        commits=[Commit(group="g", part=PART, offset=2, acknowledged_at=5.0)],
        committed=[CommittedRead(group="g", part=PART, offset=2, asked_at=6.0, answered_at=6.5)],
        logs={PART: log},
        producer_ids=[1, 2],
    )


def _without_last(history: History) -> None:
    history.logs[PART].pop()


def _twice(history: History) -> None:
    history.logs[PART].append(Found(3, "a", 2))


def _never_sent(history: History) -> None:
    history.logs[PART].append(Found(3, "x", 2))


def _elsewhere(history: History) -> None:
    history.batches[1].base_offset = 1


def _swapped(history: History) -> None:
    log = history.logs[PART]
    log[0], log[2] = replace_value(log[0], "c"), replace_value(log[2], "a")


def _gap(history: History) -> None:
    history.logs[PART][2] = Found(3, "c", 2)


def _epoch_back(history: History) -> None:
    history.logs[PART][2] = Found(2, "c", 0)


def _read_other(history: History) -> None:
    history.polls[0].found[1] = Found(1, "z", 1)


def _read_again(history: History) -> None:
    history.polls.append(replace(history.polls[0]))


def _read_past(history: History) -> None:
    del history.polls[0].found[1]


def _read_unwritten(history: History) -> None:
    history.polls[1].found.append(Found(3, "d", 2))


def _commit_lost(history: History) -> None:
    history.committed[0].offset = -1


def _commit_invented(history: History) -> None:
    history.committed[0].offset = 7


def _deletion_undone(history: History) -> None:
    history.deletions.append(Deletion(part=PART, before_offset=1, is_acknowledged=True))


def _starts_at(history: History, offset: int, at_ms: int = 9_000) -> None:
    history.starts[PART] = offset
    history.seen_starts.append(SeenStart(part=PART, offset=offset, at_ms=at_ms))
    del history.logs[PART][:offset]


def _deleted_by_nobody(history: History) -> None:
    _starts_at(history, 1)


def _deleted_too_young(history: History) -> None:
    history.retention[PART.topic] = Retention(ms=5_000)
    _starts_at(history, 2, at_ms=4_000)


def _deleted_too_much(history: History) -> None:
    history.retention[PART.topic] = Retention(bytes=101)
    _starts_at(history, 2)


def _read_another_before_it_went(history: History) -> None:
    history.polls[0].found[1] = Found(1, "z", 1)
    history.retention[PART.topic] = Retention(bytes=1)
    _starts_at(history, 2)


def _commit_read_lower_later(history: History) -> None:
    history.commits.append(Commit(group="g", part=PART, offset=1))
    history.commits[0].acknowledged_at = None
    history.committed.append(CommittedRead(group="g", part=PART, offset=1, asked_at=7.0, answered_at=7.5))


def _never_polled(history: History) -> None:
    history.polls[0].group = history.polls[1].group = "another"


def _id_twice(history: History) -> None:
    history.producer_ids.append(2)


def replace_value(found: Found, value: str) -> Found:
    return found._replace(value=value)


def test_a_sound_history_passes() -> None:
    assert check(sound()) == []


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_without_last, "lost write"),
        (_twice, "duplicate"),
        (_never_sent, "stranger"),
        (_elsewhere, "moved write"),
        (_swapped, "order"),
        (_gap, "gap"),
        (_epoch_back, "leader epoch goes back"),
        (_read_other, "two values"),
        (_read_again, "non-monotonic poll"),
        (_read_past, "skipped poll"),
        (_read_unwritten, "unseen write"),
        (_commit_lost, "committed offset goes back"),
        (_commit_invented, "stranger"),
        (_deletion_undone, "deletion undone"),
        (_deleted_by_nobody, "lost writes"),
        (_deleted_too_young, "lost writes"),
        (_deleted_too_much, "lost writes"),
        (_read_another_before_it_went, "two values"),
        (_commit_read_lower_later, "committed offset goes back"),
        (_never_polled, "unseen by its group"),
        (_id_twice, "was given out 2 times"),
    ],
)
def test_an_anomaly_is_named(spoil: Callable[[History], None], named: str) -> None:
    history = sound()
    spoil(history)
    assert any(named in anomaly for anomaly in check(history)), check(history)


def test_what_is_not_acknowledged_may_be_there_or_not() -> None:
    history = sound()
    history.batches[1].is_acknowledged = False
    assert check(history) == []
    history.logs[PART].pop()
    history.polls.pop()
    assert check(history) == []


def test_what_was_deleted_is_not_missed() -> None:
    history = sound()
    history.deletions.append(Deletion(part=PART, before_offset=1, is_acknowledged=True))
    history.starts[PART] = 1
    del history.logs[PART][0]
    assert check(history) == []


@pytest.mark.parametrize("kept", [Retention(ms=5_000), Retention(bytes=100)])
def test_what_retention_may_take_is_not_missed(kept: Retention) -> None:
    history = sound()
    history.retention[PART.topic] = kept
    _starts_at(history, 2)
    assert check(history) == []


def test_a_deleted_topic_owes_nothing() -> None:
    history = sound()
    history.deleted.add(PART)
    history.logs.clear()
    history.committed[0].offset = -1
    assert check(history) == []
