"""``python -m bench.cluster_return``: a whole cluster is gone, and comes back elsewhere from its bucket and its WAL's mount.

The bucket describes as much data as asked for (``bench.described_log``): most of it compacted, and above the checkpoint as many
rows as a leader may leave there (``leader.checkpoint_rows``). A server then takes real records, which only its WAL has, and
groups' offsets, and is killed with all its processes. What is measured is a ``raylog serve`` in another working folder, with
another Ray, on other ports: when it serves, when every partition has taken a record, when every partition's last record has been
fetched. That nothing is missing is checked.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console

from bench import machine, report
from bench.described_log import Described, describe
from bench.everywhere import Offsets, fetch_everywhere, produce_everywhere
from bench.measures import Figure
from bench.servers import ServerError
from raylog.model.limits import LeaderLimits
from tests.harness.serve import ServeProcess

_TOPICS: Final = 10
_PARTITIONS: Final = 1_000
_GIB: Final = 100.0
_ROW_KIB: Final = 1024
_GROUPS: Final = 10
_WAL_BYTES: Final = 48 << 20
"""In the WAL alone when the cluster is killed; a leader flushes at 64 MiB."""
_COMMITTED: Final = 7
_PATIENCE_S: Final = 120.0
_REPLAYED: Final = re.compile(r'msg="the leader log is replayed" .*slots=(\d+) rows=(\d+) seconds=([0-9.]+)')

_NOTHING_WRITTEN_DOWN: Final = """\
[limits.leader]
checkpoint_slots = 1000000000
checkpoint_rows = 1000000000
[limits.compaction]
interval_s = 1000000000
"""
"""For the servers that prepare: what is above the checkpoint stays there, and nobody looks for batches that are not there."""
_NOTHING_COMPACTED: Final = """\
[limits.compaction]
interval_s = 1000000000
"""


def cluster_return(
    partitions: Annotated[int, typer.Option(min=_TOPICS, help="In ten topics.")] = _PARTITIONS,
    gib: Annotated[float, typer.Option(min=1, help="Data that the bucket describes.")] = _GIB,
    row_kib: Annotated[
        int, typer.Option(min=1, help="A row of compacted data; 64: as if none were compacted.")
    ] = _ROW_KIB,
    page: Annotated[bool, typer.Option(help="Rewrite the section in docs/performance.md.")] = True,
) -> None:
    """Measure how long a cluster is away that comes back from the bucket alone."""
    console = Console(stderr=True, highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="raylog-return-") as name:
            figures = _measure(Path(name), partitions // _TOPICS, gib, row_kib, console)
    except (ServerError, AssertionError) as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    for figure in figures:
        console.print(f"{figure.name:60} {report.number(figure.value):>10} {figure.unit}")
    if page and (partitions, gib, row_kib) == (_PARTITIONS, _GIB, _ROW_KIB):
        table = [
            [f"{partitions:,} partitions, {gib:g} GiB", ""],
            *([f"{figure.name}, {figure.unit}", report.number(figure.value)] for figure in figures),
        ]
        report.rewrite_page("cluster-return", table, machine.describe(), "python -m bench.cluster_return")


def _measure(folder: Path, count: int, gib: float, row_kib: int, console: Console) -> list[Figure]:
    topics = {f"return-{number}": count for number in range(_TOPICS)}
    bucket = folder / "bucket"
    # Nothing is flushed before the kill: what is in the WAL then is in it alone.
    first = _server(folder, "first", _NOTHING_WRITTEN_DOWN, "&flush_interval_ms=3600000")
    try:
        empty_s = _timed_start(first)
        _create(first, topics)
        first.stop()
        console.print("describing data …", style="dim")
        described = asyncio.run(
            describe(
                bucket,
                topics,
                data_bytes=int(gib * 2**30),
                row_bytes=row_kib * 1024,
                tail_rows=LeaderLimits().checkpoint_rows,
            )
        )
        console.print(f"{described.objects:,} objects of {described.data_bytes / 2**30:.1f} GiB", style="dim")
        first.start()
        _commit(first, topics)
        last = _fill_wal(first, topics, described)
    finally:
        first.kill()
    console.print("killed", style="dim")
    second = _server(folder, "second", _NOTHING_COMPACTED)
    try:
        began_s = time.perf_counter()
        ready_s = _timed_start(second)
        offsets = produce_everywhere(second, topics)
        produced_s = time.perf_counter() - began_s
        assert offsets == {partition: offset + 1 for partition, offset in last.items()}, "records are missing"
        fetch_everywhere(second, offsets)
        fetched_s = time.perf_counter() - began_s
        _check_groups(second, topics)
        slots, rows, replay_s = _replay(second)
        return [
            Figure(name="index rows in the checkpoint", value=described.checkpoint_rows, unit="rows", better="lower"),
            Figure(name="size of the checkpoint", value=described.checkpoint_bytes / 1e6, unit="MB", better="lower"),
            Figure(name="rows in slots above it", value=rows, unit="rows", better="lower"),
            Figure(name="slots above it", value=slots, unit="slots", better="lower"),
            Figure(name="in the WAL alone", value=_WAL_BYTES / 1e6, unit="MB", better="lower"),
            _seconds("ready, on an empty bucket", empty_s),
            _seconds("ready", ready_s),
            _seconds("of this: checkpoint read and slots replayed", replay_s),
            _seconds("until each partition has taken a record", produced_s),
            _seconds("until the end of each partition has been fetched", fetched_s),
            Figure(name="memory", value=_resident_bytes(second) / 1e6, unit="MB", better="lower"),
        ]
    finally:
        second.kill()


def _server(folder: Path, name: str, config: str, wal_query: str = "") -> ServeProcess:
    """A server with a working folder of its own, on the bucket and the mount that all share."""
    own, mount = folder / name, folder / "mount"
    own.mkdir()
    mount.mkdir(exist_ok=True)
    (own / "raylog.toml").write_text(config)
    query = f"?capacity=1GiB{wal_query}"
    return ServeProcess(
        str(folder / "bucket"),
        own,
        ("--config", str(own / "raylog.toml"), "--wal", f"file=file://{mount}{query}", "--log-level", "INFO"),
        working_folder=own,
    )


def _timed_start(server: ServeProcess) -> float:
    began_s = time.perf_counter()
    server.start()
    return time.perf_counter() - began_s


def _create(server: ServeProcess, topics: Mapping[str, int]) -> None:
    new = [NewTopic(name, count, config={"raylog.wal": "file"}) for name, count in topics.items()]
    admin = _admin(server)
    for created in admin.create_topics(new).values():
        created.result(_PATIENCE_S)


def _commit(server: ServeProcess, topics: Mapping[str, int]) -> None:
    """An offset of each group in each partition."""
    offsets = [TopicPartition(name, number, _COMMITTED) for name, count in topics.items() for number in range(count)]
    admin = _admin(server)
    for group in range(_GROUPS):
        request = ConsumerGroupTopicPartitions(f"group-{group}", offsets)
        for altered in admin.alter_consumer_group_offsets([request]).values():
            altered.result(_PATIENCE_S)


def _check_groups(server: ServeProcess, topics: Mapping[str, int]) -> None:
    admin = _admin(server)
    for group in range(_GROUPS):
        request = ConsumerGroupTopicPartitions(f"group-{group}")
        (found,) = admin.list_consumer_group_offsets([request]).values()
        offsets = [partition.offset for partition in found.result(_PATIENCE_S).topic_partitions]
        assert offsets == [_COMMITTED] * sum(topics.values()), f"group-{group} has lost offsets"


def _fill_wal(server: ServeProcess, topics: Mapping[str, int], described: Described) -> Offsets:
    """Records that no slot has; returns the offset of each partition's last one."""
    before = produce_everywhere(server, topics)
    assert sorted(before.values()) == sorted(described.ends.values()), "what the bucket describes was not there"
    value = bytes(_WAL_BYTES // sum(topics.values()))
    last = produce_everywhere(server, topics, value)
    assert last == {partition: offset + 1 for partition, offset in before.items()}
    return last


def _replay(server: ServeProcess) -> tuple[int, int, float]:
    """Slots, rows and seconds of the leader that had most, as it has logged them."""
    run_dir = re.search(r"^\s*logs\s+(\S+)$", server.output.read_text(), re.MULTILINE)
    assert run_dir is not None, "the server does not say where its logs are"
    logs = [path.read_text() for path in Path(run_dir[1]).glob("leader-*.log")]
    found = [(int(s), int(r), float(t)) for text in logs for s, r, t in _REPLAYED.findall(text)]
    return max(found, key=lambda one: one[1])


def _resident_bytes(server: ServeProcess) -> int:
    """Of all its processes, shared pages counted once."""
    return sum(
        process.memory_full_info().pss for process in server.processes() if process.status() != psutil.STATUS_ZOMBIE
    )


def _admin(server: ServeProcess) -> AdminClient:
    return AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})


def _seconds(name: str, value: float) -> Figure:
    return Figure(name=name, value=value, unit="s", better="lower")


if __name__ == "__main__":
    typer.run(cluster_return)
