"""Writes docs/limits.md from the limits themselves: ``python -m raylog.cli.limits_page``.

A limit's text is the docstring under its field in ``raylog.model.limits``; what is held where is the table below, whose names
a test holds to the limits and settings that there are.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from raylog.model import limits

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "limits.md"

_INTRODUCTION: Final = """\
# Limits

This page is made by `python -m raylog.cli.limits_page`; a test holds it to the source.

Every queue, cache and buffer has a limit. At the limit the sender waits: a full leader does not read its gateways, a gateway that
waits does not read its clients, and their sockets fill. Nothing is dropped, nothing grows, and all goes on by itself when there
is room again.

Each limit is a setting of the file given to `--config`, by group and name:

```toml
[limits.gateway]
connections_max = 20000
[limits.leader]
unflushed_bytes_max = 1073741824
```
"""

_GROUPS: Final = {
    "gateway": "One gateway process.",
    "leader": "One leader process.",
    "store": "One process's use of the bucket.",
    "log": "Each fenced log: the metadata log and every leader log.",
    "controller": "The controller.",
    "balance": "Load and its balance: leaders and the controller.",
    "scaling": "Nodes that come and go by load: the controller.",
    "compaction": "Compaction, by one leader.",
    "garbage": "Garbage collection.",
}

_WALS: Final = """\
## WAL classes

Parameters of a class's URL, as in `--wal fast=file:///mnt/ebs?capacity=16GiB`.

| parameter | of | default | what happens at it |
|---|---|---:|---|
| `capacity` | file | 8 GiB | Bytes of one leader's segments. Produces wait until the bucket has taken those of the oldest. |
| `segment` | file | 64 MiB | The size of a segment. |
| `flush_interval_ms` | file | 10,000 ms | What has been in the WAL for so long goes to the bucket. |
| `flush_bytes` | file | 64 MiB | So much goes to the bucket at once. |
| `inline_commit_ms` | file | 2 ms | Slower commits run in a thread of their own, |
| `inline_commit_bytes` | file | 128 KiB | and so do larger ones. |
| `interval_ms` | object | 250 ms | One slot at most is written in this time, |
| `max_bytes` | object | 8 MiB | unless there is so much of it. 32 such slots may wait for the bucket; then produces wait. |
"""

_OUTAGES: Final = """\
## What clients see at the edge

- **The bucket is away, file WAL.** Producers are acknowledged, and consumers served, until the WAL's `capacity` is used: what is
  more than `leader.unflushed_bytes_max` stays in the WAL alone and is read back from there (docs/decisions/0011). Then producers
  wait, and get REQUEST_TIMED_OUT after their own timeout. When the bucket is back what waits is taken, in order. To bridge a
  longer outage, give the WAL the capacity for what is written meanwhile.
- **The bucket is away, object WAL.** Producers wait, and get REQUEST_TIMED_OUT after their own timeout. Their records become
  durable later, or are gone with the leader, as with any request whose answer is missing. The next ones wait as above.
- **The bucket is slow.** The same limits; slots are acknowledged in order.
- **The WAL's disk is full** (ENOSPC, EDQUOT). Producers are acknowledged as long as a spare segment has room; then they wait as
  above. All goes on when trimming or the disk gives room, which is looked at each second. Any other error of the disk ends the
  leader, as nobody knows then whether it has the bytes.
- **A consumer does not read.** It is not read either. Where `gateway.fetch_total_bytes_max` is used up, who has taken nothing for
  10 s is closed, and until then the others get answers of `gateway.answer_bytes_max`, or one batch.
- **Too many connections.** The one above `gateway.connections_max` is closed at once.

Bytes are those of the records. A batch costs its leader about 500 bytes besides, so records that come one by one, of 100 bytes
each, take four times of what is counted.
"""

_HELD: Final = (
    ("gateway", "connections", "`gateway.connections_max`", "closed at once"),
    ("gateway", "a request that arrives", "`gateway.request_bytes_max`, `gateway.request_s_max`", "connection closed"),
    (
        "gateway",
        "requests in flight",
        "`gateway.connection_requests_max`, `gateway.connection_bytes_max`, `gateway.total_bytes_max`",
        "not read",
    ),
    (
        "gateway",
        "requests under way to a leader, given up ones included",
        "`gateway.leader_bytes_max`",
        "those who add to them are not read",
    ),
    (
        "gateway",
        "answers that a client does not take",
        "`gateway.answer_bytes_max`, `gateway.fetch_total_bytes_max`",
        "not read; closed when the memory is used up",
    ),
    (
        "gateway",
        "blocks of data objects",
        "`gateway.block_cache_bytes`",
        "the oldest goes; readers wait for those under way",
    ),
    ("gateway", "a leader's answer", "`gateway.leader_frame_bytes_max`", "connection to the leader closed"),
    ("gateway", "partitions as Metadata shows them", "`gateway.metadata_cache_partitions`", "begins anew"),
    ("leader", "a request that arrives", "`leader.frame_bytes_max`", "connection closed"),
    (
        "leader",
        "batches in no slot yet, with their answers and index rows",
        "`leader.unflushed_bytes_max`, `leader.unflushed_rows_max`",
        "file WAL: batches stay in the WAL alone; else produces wait, one for each connection, the rest is not read",
    ),
    ("leader", "batches read back from the WAL for consumers", "`leader.read_back_bytes_max`", "the oldest goes"),
    ("leader", "what the WAL has to write", "the WAL's `capacity`, or 32 slots of `max_bytes`", "as above"),
    ("leader", "the tail cache", "`leader.tail_cache_bytes`", "the oldest goes"),
    ("leader", "slots under way", "`leader.slots_in_flight_max`", "batches wait"),
    ("leader", "fetches that wait", "`leader.fetch_waits_max`, `leader.fetch_wait_ms_max`", "answered at once"),
    ("leader", "a Fetch answer", "`leader.fetch_bytes_max`", "holds no more"),
    ("leader", "answers that a gateway does not take", "`leader.answer_bytes_max`", "not read"),
    (
        "leader",
        "a coordinator's appends",
        "4 MiB each, `leader.coordinator_bytes_max` for all",
        "its requests wait in line",
    ),
    ("leader", "requests in line for a coordinator", "`gateway.leader_bytes_max` of each gateway", "not read"),
    ("leader", "members of a group", "`group.max.size`", "GROUP_MAX_SIZE_REACHED"),
    ("leader", "member ids given out and not used", "10,000 for each group", "GROUP_MAX_SIZE_REACHED"),
    (
        "leader",
        "idempotent producers of a partition",
        "`producer.id.expiration.ms`, and 100,000",
        "the one idle for longest is forgotten",
    ),
    ("leader", "answer templates", "20,000", "begins anew"),
    ("leader", "index rows", "retention: 64 bytes for each run of `leader.plan_run_bytes_max`", ""),
    ("store", "requests to the bucket", "`store.requests_max`", "wait by priority: WAL, tail, catch-up, background"),
    ("store", "parts of one large body", "`store.parts_max_in_flight`", "sent one after another"),
    ("store", "threads of a local folder", "`store.local_threads`", "requests wait for one"),
    ("store", "slots read ahead in a replay", "`log.replay_prefetch`", "read as they are used"),
    (
        "controller",
        "changes on their way to the log",
        "a slot at a time; callers wait for theirs",
        "Ray queues 1,000 calls",
    ),
    ("controller", "moves by load under way", "`balance.moves_max`", "the others wait for the next look"),
    ("controller", "loads that leaders report", "a number for each partition that has load", "the newest replaces it"),
    ("controller", "partitions of a topic", "`controller.topic_partitions_max`", "INVALID_PARTITIONS"),
)
"""Where, what, its limit, and what happens at it."""


def document() -> str:
    """The whole page."""
    lines = [_INTRODUCTION]
    for group, title in _GROUPS.items():
        lines += [f"## {group}", "", title, "", "| limit | default | unit | what it limits, and what happens at it |"]
        lines += ["|---|---:|---|---|", *_rows(group), ""]
    lines += [
        _WALS,
        _OUTAGES,
        "## What is held where",
        "",
        "| process | what | limit | at the limit |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in _HELD]
    return "\n".join((*lines, ""))


def names_mentioned() -> set[str]:
    """The limits and settings of the table of what is held."""
    found = (re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", row[2]) for row in _HELD)
    return {name for names in found for name in names}


def limit_names() -> set[str]:
    return {f"{group}.{f.name}" for group in _GROUPS for f in fields(_group(group))}


def _rows(group: str) -> Iterator[str]:
    texts = _docstrings(type(_group(group)))
    for f in fields(_group(group)):
        value, unit = _shown(f.name, getattr(_group(group), f.name))
        yield f"| `{group}.{f.name}` | {value} | {unit} | {texts[f.name]} |"


def _group(name: str) -> limits.GatewayLimits:
    found: limits.GatewayLimits = getattr(limits.Limits(), name)
    return found


def _docstrings(group: type) -> dict[str, str]:
    """The docstrings under the fields, which Python itself does not keep."""
    body = ast.parse(inspect.getsource(group)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            assert isinstance(text.value, ast.Constant)
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


def _shown(name: str, value: float) -> tuple[str, str]:
    """A default for people, and its unit, which the name says."""
    words = name.split("_")
    if "bytes" in words:
        per = "/s" if "per" in words else ""
        for size, unit in ((limits.MIB, "MiB"), (limits.KIB, "KiB")):
            if value % size == 0:
                return f"{value // size:,}", unit + per
        return f"{value:,}", "bytes" + per
    if "ms" in words:
        return f"{value:,}", "ms"
    if "s" in words:
        return f"{value:,g}", "s"
    return f"{value:,}", ""


def main() -> None:
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
