"""Judges a journal: the checker (lab/history/checker.py) reads it as a history."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.history.checker import check
from lab.history.history import Batch, Commit, CommittedRead, Found, History, Part, Poll

Event = dict[str, Any]


def events_of(path: Path) -> Iterator[Event]:
    """A last line that is cut short, by the end of the run itself, is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def anomalies(path: Path) -> list[str]:
    """One sentence each; none is good."""
    return check(history_of(events_of(path)))


def history_of(events: Iterator[Event]) -> History:
    history = History()
    batches: dict[tuple[str, int], Batch] = {}
    commits: dict[tuple[str, Part], Commit] = {}
    for event in events:
        match event["event"]:
            case "send":
                batch = _batch(event)
                batches[batch.producer, batch.number] = batch
                history.batches.append(batch)
            case "ack":
                batch = batches[event["producer"], event["number"]]
                batch.is_acknowledged = True
                batch.base_offset = event["offset"]
            case "poll":
                history.polls.append(_poll(event))
            case "commit":
                commit = Commit(group=event["group"], part=_part(event), offset=event["offset"])
                commits[event["number"], commit.part] = commit
                history.commits.append(commit)
            case "commit-ack":
                commits[event["number"], _part(event)].acknowledged_at = event["t"]
            case "committed":
                history.committed.append(_committed(event))
            case "log":
                history.logs[_part(event)] = [Found(*found) for found in event["found"]]
            case "odd":
                history.oddities.append(event["what"])
    return history


def _part(event: Event) -> Part:
    return Part(event["topic"], event["part"])


def _batch(event: Event) -> Batch:
    return Batch(
        producer=event["producer"],
        part=_part(event),
        values=(event["value"],),
        number=event["number"],
        is_idempotent=event["idempotent"],
    )


def _poll(event: Event) -> Poll:
    return Poll(
        session=event["session"],
        group=event["group"],
        part=_part(event),
        position=event["position"],
        found=[Found(*found) for found in event["found"]],
    )


def _committed(event: Event) -> CommittedRead:
    return CommittedRead(
        group=event["group"],
        part=_part(event),
        offset=event["offset"],
        asked_at=event["asked"],
        answered_at=event["answered"],
    )
