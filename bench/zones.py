"""What produce by the bucket costs and saves between zones, beside produce to the leader: ``python -m bench.zones``.

Three zones with a gateway and a leader each, in this process; the clients that produce are processes of their own. A
producer in one zone writes to a partition that is led in another; then a consumer in the producer's zone reads it, and one in the
third. Bytes are counted at the gateways' sockets, requests under the retries, as S3 would bill them; nothing is compacted.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import CollectorRegistry
from rich.console import Console

from bench import machine, report
from bench.measures import MIB, Figure
from bench.requests import read_through, requests_by_kind
from raylog.model.limits import CompactionLimits, Limits
from tests.harness.cluster import InProcessCluster, running

_ZONES: Final = ("east", "middle", "west")
_PATHS: Final = {"leader": "to the leader", "bucket": "by the bucket"}
_LIMITS: Final = Limits(compaction=CompactionLimits(interval_s=1e6))
_WARM_UP_S: Final = 2.0
_SECONDS: Final = 12.0
_PATIENCE_S: Final = 60.0
_ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket:
    title: str
    latency: str
    """The model's name in a store's URL; none: as fast as the local folder is."""
    interval_ms: int
    """Of slots and uploads."""


_BUCKETS: Final = (
    _Bucket(title="local folder", latency="", interval_ms=250),
    _Bucket(title="S3 Standard", latency="s3-standard", interval_ms=250),
    _Bucket(title="S3 Express", latency="s3-express", interval_ms=15),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    name: str
    record_bytes: int
    rate_hz: int
    single: bool
    """Each record is a request of its own."""
    sample_every: int


_LOADS: Final = (
    _Load(name="100 single records/s", record_bytes=100, rate_hz=100, single=True, sample_every=1),
    _Load(name="4 MiB/s in batches", record_bytes=1024, rate_hz=4096, single=False, sample_every=20),
)


def bench(
    seconds: Annotated[float, typer.Option(min=1, help="Of each load.")] = _SECONDS,
    page: Annotated[bool, typer.Option(help="Rewrite the section in docs/performance.md.")] = True,
) -> None:
    console = Console(highlight=False)
    columns = {}
    for bucket in _BUCKETS:
        for path, way in _PATHS.items():
            title = f"{bucket.title}, {way}"
            console.print(title, style="bold")
            columns[title] = _column(bucket, path, seconds)
            for figure in columns[title]:
                console.print(f"{report.number(figure.value):>8} {figure.unit:8} {figure.name}", soft_wrap=True)
    table = [["", *columns]]
    table += [
        [f"{row[0].name}, {row[0].unit}", *(report.number(figure.value) for figure in row)]
        for row in zip(*columns.values(), strict=True)
    ]
    if page and seconds == _SECONDS:
        report.rewrite_page("zones", table, machine.describe(), "python -m bench.zones")


def _column(bucket: _Bucket, path: str, seconds: float) -> list[Figure]:
    registry = CollectorRegistry()
    with (
        tempfile.TemporaryDirectory(prefix="bench-zones-") as folder,
        running(
            Path(folder),
            store_url=f"file://{folder}/bucket{f'?latency={bucket.latency}' if bucket.latency else ''}",
            wal={"object": f"object:?interval_ms={bucket.interval_ms}"},
            default_wal="object",
            leaders_per_class=len(_ZONES),
            zones=_ZONES,
            limits=_LIMITS,
            registry=registry,
        ) as cluster,
    ):
        return [figure for load in _LOADS for figure in _measured(cluster, registry, load, path, seconds)]


def _measured(
    cluster: InProcessCluster, registry: CollectorRegistry, load: _Load, path: str, seconds: float
) -> Iterator[Figure]:
    topic = f"{path}-{load.rate_hz}"
    new = NewTopic(topic, 1, 1, config={"raylog.produce.path": path})
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([new])[topic].result(_PATIENCE_S)
    led_in = cluster.leader_of(topic, 0) % len(_ZONES)
    own, third = (led_in + 1) % len(_ZONES), (led_in + 2) % len(_ZONES)

    crossed, requests = _crossed_bytes(cluster), requests_by_kind(registry)
    result = _produce(cluster, own, topic, load, seconds)
    crossed, requests = _crossed_bytes(cluster) - crossed, requests_by_kind(registry) - requests
    records = _records(cluster, topic)
    payload_bytes = records * load.record_bytes
    mebibytes = payload_bytes / MIB
    puts = requests["put"] + requests["put_if_absent"]
    yield _least(f"{load.name}: p50", result["p50_ms"], "ms")
    yield _least(f"{load.name}: p99", result["p99_ms"], "ms")
    yield _least(f"{load.name}: crossed per byte of records", crossed / payload_bytes, "bytes")
    yield _least(f"{load.name}: PUTs", puts / mebibytes, "per MiB")
    for zone, who in ((own, "consumer in the producer's zone"), (third, "in the third")):
        crossed, requests = _crossed_bytes(cluster), requests_by_kind(registry)
        _consume(cluster, zone, topic, records)
        crossed, requests = _crossed_bytes(cluster) - crossed, requests_by_kind(registry) - requests
        yield _least(f"{load.name}, {who}: crossed per byte", crossed / payload_bytes, "bytes")
        yield _least(f"{load.name}, {who}: GETs", requests["get"] / mebibytes, "per MiB")


def _least(name: str, value: float, unit: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, better="lower")


def _produce(cluster: InProcessCluster, zone: int, topic: str, load: _Load, seconds: float) -> dict[str, Any]:
    arguments = {
        "bootstrap": cluster.addresses[zone],
        "client_id": _client_id(zone),
        "topic": topic,
        "partitions": 1,
        "record_bytes": load.record_bytes,
        "rate_hz": load.rate_hz,
        "seconds": seconds,
        "warm_up_s": _WARM_UP_S,
        "single": load.single,
        "sample_every": load.sample_every,
    }
    command = [sys.executable, "-m", "bench.clients.latency", json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT, check=True)
    return dict(json.loads(done.stdout))


def _consume(cluster: InProcessCluster, zone: int, topic: str, records: int) -> None:
    """The topic's only partition, from its first record to its last."""
    consumer = _consumer(cluster, zone)
    consumer.assign([TopicPartition(topic, 0, 0)])
    read_through(consumer, records)
    consumer.close()


def _records(cluster: InProcessCluster, topic: str) -> int:
    consumer = _consumer(cluster, 0)
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=_PATIENCE_S)
    consumer.close()
    return int(end)


def _consumer(cluster: InProcessCluster, zone: int) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": cluster.addresses[zone],
            "client.id": _client_id(zone),
            "group.id": "bench",
            "enable.auto.commit": False,
        }
    )


def _client_id(zone: int) -> str:
    return f"bench,zone={_ZONES[zone]}"


def _crossed_bytes(cluster: InProcessCluster) -> int:
    """Sent and received by gateways, of what went between zones so far."""
    found = [row for number in range(len(_ZONES)) for row in cluster.gateway(number).zone_bytes() if row.crosses]
    return sum(row.sent_bytes + row.received_bytes for row in found)


if __name__ == "__main__":
    typer.run(bench)
