"""Requests to the bucket per GiB, by kind, and what a catch-up reader of one partition reads: ``python -m bench.requests``.

One leader with an object WAL on a local folder, in this process with its gateway and controller; requests are counted under the
retries, as S3 would bill them. Records are appended to each partition in turn, by the leader's own append path, in slots of a
fixed size, so that what is counted does not depend on the machine. Then everything is checkpointed, all jobs that are due are
done, and garbage is collected as if the grace were over. Compaction has its default limits.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import CollectorRegistry
from rich.table import Table

from bench.report import show
from raylog.leader.garbage import collect_garbage
from raylog.model.clock import SystemClock
from raylog.model.ids import LeaderId
from raylog.model.limits import KIB, MIB, CompactionLimits, GatewayLimits, LeaderLimits, Limits
from raylog.model.logs import role_logger
from raylog.partition.offset_index import IndexEntry
from raylog.protocol.batch import Record, encode_batch, headers
from tests.harness.cluster import InProcessCluster, running

_TOPIC = "bench"
_RECORD_BYTES = 2048
_PATIENCE_S = 600.0
_GIB = 1 << 30
_LIMITS = Limits(
    compaction=CompactionLimits(interval_s=1e6),
    leader=LeaderLimits(tail_cache_bytes=1),
    gateway=GatewayLimits(block_cache_bytes=16 * MIB),
)
"""Jobs are done when this module says so; readers find nothing in memory that they have not just read."""
_ROWS = (
    "PUT, slots of the leader log",
    "PUT, segments",
    "PUT, checkpoints",
    "GET, compaction",
    "GET, garbage collection",
    "LIST",
    "DELETE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A consumer's way through one partition, from its first record to its last."""

    ranges: int
    """Of objects that its index names without a gap."""
    requests: int
    """GETs that the gateway made of them."""
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    requests: Counter[str]
    size_bytes: int
    """Of all batches in the index."""
    before: _Read
    after: _Read
    rewritten_bytes: int


def bench(
    mebibytes: Annotated[int, typer.Option(help="To produce in each run.")] = 512,
    partitions: Annotated[list[int] | None, typer.Option(help="Of the topic. [default: 1, 100, 1000]")] = None,
    slot_kib: Annotated[int, typer.Option(help="A slot of the leader log is cut at this size.")] = 1024,
    folder: Annotated[
        Path | None, typer.Option(help="Where the buckets are made. [default: the temporary one]")
    ] = None,
) -> None:
    counts = partitions or [1, 100, 1000]
    runs = []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=folder, prefix="bench-requests-") as place:
            runs.append(_run(Path(place), count, mebibytes * MIB, slot_kib))
    table = Table("per GiB", *(f"{count:,} partition{'s' * (count > 1)}" for count in counts))
    for row in _ROWS:
        table.add_row(row, *(f"{_per_gib(run.requests[row], run.size_bytes):,.0f}" for run in runs))
    table.add_row("all", *(f"{_per_gib(run.requests.total(), run.size_bytes):,.0f}" for run in runs))
    table.add_row("bytes rewritten / bytes", *(f"{run.rewritten_bytes / run.size_bytes:.2f}" for run in runs))
    for when in ("before", "after"):
        reads: list[_Read] = [getattr(run, when) for run in runs]
        table.add_row(
            f"ranges of one partition, {when}", *(f"{_per_gib(read.ranges, read.size_bytes):,.0f}" for read in reads)
        )
        table.add_row(
            f"GETs of its reader, {when}", *(f"{_per_gib(read.requests, read.size_bytes):,.0f}" for read in reads)
        )
    show(table)


def _per_gib(count: int, size_bytes: int) -> float:
    return count * _GIB / size_bytes


def _run(folder: Path, partitions: int, size_bytes: int, slot_kib: int) -> _Run:
    registry = CollectorRegistry()
    with running(
        folder,
        wal={"object": "object:?interval_ms=600000&max_bytes=1GiB"},
        default_wal="object",
        leaders_per_class=1,
        limits=_LIMITS,
        registry=registry,
    ) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        admin.create_topics([NewTopic(_TOPIC, partitions)])[_TOPIC].result(_PATIENCE_S)
        cluster.run(_led(cluster, partitions), _PATIENCE_S)
        counted = requests_by_kind(registry)
        requests: Counter[str] = Counter()

        def note(get: str) -> None:
            """What was asked since the last call; a GET was for ``get``."""
            nonlocal counted
            now = requests_by_kind(registry)
            new, counted = now - counted, now
            requests.update(
                {
                    "PUT, slots of the leader log": new["put_if_absent"],
                    "PUT, checkpoints": new["put"],
                    get: new["get"],
                    "LIST": new["list"],
                    "DELETE": new["delete"],
                }
            )

        parts = _parts(cluster)
        cluster.run(_append(parts, size_bytes, slot_kib * KIB), _PATIENCE_S)
        cluster.run(parts.checkpoints.write(), _PATIENCE_S)
        note("GET, compaction")
        before = _read(cluster, registry)
        counted = requests_by_kind(registry)
        while cluster.run(parts.compaction.look(), _PATIENCE_S):
            pass
        cluster.run(parts.checkpoints.write(), _PATIENCE_S)
        note("GET, compaction")
        segments = parts.context.metrics.segments._pending + _published(parts.context.metrics.segments)
        rewritten = parts.context.metrics.compacted_bytes._pending + _published(parts.context.metrics.compacted_bytes)
        requests["PUT, segments"] = segments
        requests["PUT, slots of the leader log"] -= segments
        after = _read(cluster, registry)
        counted = requests_by_kind(registry)
        cluster.run(_collect(cluster), _PATIENCE_S)
        note("GET, garbage collection")
        total = sum(hosted.core.index.size_bytes for hosted in parts.context.partitions)
        return _Run(requests=requests, size_bytes=total, before=before, after=after, rewritten_bytes=rewritten)


def _parts(cluster: InProcessCluster) -> Any:
    return cluster._running.leaders[LeaderId(cluster.leader_ids[0])]._parts


def _published(total: Any) -> int:
    return int(total._counter._value.get())


def read_through(consumer: Consumer, end: int) -> None:
    """All records of the consumer's only partition, from offset 0 to below ``end``."""
    position = 0
    while position < end:
        for message in consumer.consume(10_000, 0.1):
            assert message.error() is None and message.offset() == position, message.error()
            position += 1


def requests_by_kind(registry: CollectorRegistry) -> Counter[str]:
    """Requests to the bucket so far."""
    found: Counter[str] = Counter()
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name == "raylog_store_requests_total":
                found[sample.labels["kind"]] += int(sample.value)
    return found


async def _led(cluster: InProcessCluster, partitions: int) -> None:
    """Once the leader serves all partitions of the topic."""
    while not cluster.leader_ids or len(_hosted(_parts(cluster))) < partitions:  # noqa: ASYNC110  (nobody tells)
        await asyncio.sleep(0.01)


def _hosted(parts: Any) -> list[Any]:
    """The topic's partitions, in their order."""
    return sorted((h for h in parts.context.partitions if h.topic_name == _TOPIC), key=lambda h: h.partition)


async def _append(parts: Any, size_bytes: int, slot_bytes: int) -> None:
    """One record to each partition in turn; a slot is cut whenever there are ``slot_bytes`` of them."""
    hosted = _hosted(parts)
    batch = encode_batch([Record(value=Random(1).randbytes(_RECORD_BYTES), timestamp_ms=SystemClock().wall_ms())])
    header = list(headers(batch))
    records = slot_bytes // len(batch)
    for number in range(size_bytes // len(batch)):
        parts.context.appender.append(hosted[number % len(hosted)], batch, header)
        if number % records == records - 1:
            await parts.flusher.flush()
    await parts.flusher.flush()


def _read(cluster: InProcessCluster, registry: CollectorRegistry) -> _Read:
    """Partition 0 from its start to its end, by a consumer."""
    hosted = _hosted(_parts(cluster))[0]
    size_bytes = hosted.core.index.size_bytes
    gets = requests_by_kind(registry)["get"]
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(_TOPIC, 0, 0)])
    end = hosted.core.high_watermark
    read_through(consumer, end)
    consumer.close()
    return _Read(
        ranges=_ranges(hosted.core.index), requests=requests_by_kind(registry)["get"] - gets, size_bytes=size_bytes
    )


def _ranges(rows: Iterable[IndexEntry]) -> int:
    """Of objects: rows that follow one another in an object are one."""
    found, source, end = 0, (0, 0), -1
    for row in rows:
        found += source != (row.source, row.number) or row.position != end
        source, end = (row.source, row.number), row.position + row.size_bytes
    return found


async def _collect(cluster: InProcessCluster) -> None:
    limits = replace(
        cluster.limits,
        garbage=replace(cluster.limits.garbage, grace_s=1e-6),
        log=replace(cluster.limits.log, trim_grace_s=1e-6),
    )
    roles = cluster._running
    await collect_garbage(
        roles._store,  # type: ignore[arg-type]
        led=roles.controller._controller.led_partitions(),  # type: ignore[union-attr]
        clock=cluster.clock,
        rng=cluster.rng,
        limits=limits,
        logger=role_logger("garbage"),
    )


if __name__ == "__main__":
    typer.run(bench)
