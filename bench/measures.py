"""What is measured, and how one measurement runs against one server."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from bench.free_memory import touch
from bench.servers import Server, ServerError

_CLIENT_S_MAX = 600
_TOPIC_S_MAX = 60
_ROOT = Path(__file__).parent.parent
MIB = 1 << 20
_TOUCHED_PER_BYTE = 3
"""Of free memory, before records are written: what a log and a WAL have of them in the system's memory, and the clients."""
_READER_BYTES = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long each measurement takes."""

    seconds: float
    warm_up_s: float
    latency_seconds: float
    latency_warm_up_s: float
    bytes_max: int
    readers: int
    """So many consumers, one after the other, read back what was produced: one takes a second or two, and the next may differ
    by a tenth."""


THOROUGH = Effort(seconds=6, warm_up_s=2, latency_seconds=15, latency_warm_up_s=3, bytes_max=1536 * MIB, readers=5)
QUICK = Effort(seconds=2, warm_up_s=1, latency_seconds=4, latency_warm_up_s=1, bytes_max=512 * MIB, readers=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. ``better`` says in which direction it should go."""

    name: str
    value: float
    unit: str
    better: str = "higher"


Figures = Generator[Figure, None, None]
"""One server's figures of a measurement, each as it is measured. The same name may come again: the median counts."""

_SPARES_S = 15.0
"""A server that is ready goes on to start its spare workers, one after the other (docs/decisions/0010)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What the server takes when nobody asks anything of it."""

    name: str = "idle"

    def run(self, server: Server, effort: Effort) -> Figures:
        time.sleep(_SPARES_S + effort.warm_up_s)
        used_s, begun = server.cpu_seconds(), time.perf_counter()
        time.sleep(effort.latency_seconds)
        share = (server.cpu_seconds() - used_s) / (time.perf_counter() - begun)
        yield Figure(name="idle: CPU", value=share * 100, unit="% of a core", better="lower")
        yield Figure(name="idle: memory", value=server.resident_bytes() / 1e6, unit="MB", better="lower")


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Produce as fast as it goes, then read everything back."""

    record_bytes: int
    partitions: int

    @property
    def name(self) -> str:
        return f"throughput-{self.record_bytes}-p{self.partitions}"

    def run(self, server: Server, effort: Effort) -> Figures:
        what = f"{_size(self.record_bytes)} records, {_partitions(self.partitions)}"
        with topic_of(server, self.partitions) as topic:
            touch(_TOUCHED_PER_BYTE * effort.bytes_max)
            produced = _client(
                "produce",
                server,
                topic=topic,
                record_bytes=self.record_bytes,
                warm_up_s=effort.warm_up_s,
                seconds=effort.seconds,
                bytes_max=effort.bytes_max,
            )
            yield self._rate(f"produce {what}", produced)
            records = produced["records_in_topic"]
            for _ in range(effort.readers):
                touch(_READER_BYTES)
                consumed = _client("consume", server, topic=topic, partitions=self.partitions, records=records)
                yield self._rate(f"consume {what}", consumed)

    def _rate(self, name: str, result: dict[str, Any]) -> Figure:
        return Figure(name=name, value=result["records"] * self.record_bytes / result["seconds"] / 1e6, unit="MB/s")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLatency:
    """Single-record requests of 100 bytes at a fixed rate, over twelve partitions."""

    rate_hz: int
    record_bytes: int = 100
    partitions: int = 12

    @property
    def name(self) -> str:
        return f"latency-{self.rate_hz}"

    def run(self, server: Server, effort: Effort) -> Figures:
        with topic_of(server, self.partitions) as topic:
            result = _latency(
                server, effort, topic, self.partitions, self.record_bytes, self.rate_hz, single=True, sample_every=1
            )
        yield from _latency_figures(f"{self.rate_hz:,} single-record requests/s", result)


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfLoadLatency:
    """Records of 1 KiB at half the rate that the same server has just taken at most, batched as usual."""

    record_bytes: int = 1024
    partitions: int = 12
    name: str = "latency-half"

    def run(self, server: Server, effort: Effort) -> Figures:
        full = Throughput(record_bytes=self.record_bytes, partitions=self.partitions)
        figures = full.run(server, effort)
        highest = next(figures)
        figures.close()
        rate_hz = highest.value * 1e6 / self.record_bytes / 2
        with topic_of(server, self.partitions) as topic:
            result = _latency(
                server, effort, topic, self.partitions, self.record_bytes, rate_hz, single=False, sample_every=20
            )
        yield Figure(name="half the highest throughput: rate", value=highest.value / 2, unit="MB/s")
        yield from _latency_figures("half the highest throughput", result)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """Single-record requests at a fixed rate, without and with a consumer that reads old records as fast as it can."""

    rate_hz: int = 1_000
    record_bytes: int = 100
    old_record_bytes: int = 1024
    partitions: int = 12
    name: str = "catch-up"

    def run(self, server: Server, effort: Effort) -> Figures:
        with topic_of(server, self.partitions) as old, topic_of(server, self.partitions) as live:
            written = _client(
                "produce",
                server,
                topic=old,
                record_bytes=self.old_record_bytes,
                warm_up_s=0,
                seconds=10 * effort.seconds,
                bytes_max=effort.bytes_max,
            )
            time.sleep(effort.warm_up_s)
            what = f"{self.rate_hz:,} single-record requests/s"
            yield from _latency_figures(f"{what}, no catch-up", self._latency(server, effort, live))
            # The second half may still be in the server's memory.
            records = written["records_in_topic"] // 2
            with _CatchUpReader(server, old, self.partitions, records, self.old_record_bytes) as reader:
                result = self._latency(server, effort, live)
                rate = reader.finish()
            yield from _latency_figures(f"{what}, with catch-up", result)
            yield Figure(name="catch-up beside it", value=rate / 1e6, unit="MB/s")

    def _latency(self, server: Server, effort: Effort, topic: str) -> dict[str, Any]:
        return _latency(
            server, effort, topic, self.partitions, self.record_bytes, self.rate_hz, single=True, sample_every=1
        )


Measure = Idle | Throughput | RequestLatency | HalfLoadLatency | CatchUp

MEASURES: tuple[Measure, ...] = (
    Idle(),
    *(Throughput(record_bytes=size, partitions=count) for size in (100, 1024, 10_240) for count in (1, 12)),
    RequestLatency(rate_hz=1_000),
    RequestLatency(rate_hz=5_000),
    HalfLoadLatency(),
    CatchUp(),
)


class topic_of:
    """A topic for one measurement, deleted afterwards."""

    def __init__(self, server: Server, partitions: int) -> None:
        self._server = server
        self._partitions = partitions
        self._admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
        self._name = f"bench-{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> str:
        new = NewTopic(self._name, self._partitions, 1, config=self._server.topic_config)
        self._admin.create_topics([new])[self._name].result(_TOPIC_S_MAX)
        deadline = time.perf_counter() + _TOPIC_S_MAX
        while not self._has_leaders():
            if time.perf_counter() > deadline:
                raise ServerError(f"{self._server.title} found no leaders for a topic within {_TOPIC_S_MAX} s.")
            time.sleep(0.05)
        return self._name

    def _has_leaders(self) -> bool:
        found = self._admin.list_topics(self._name, timeout=10).topics[self._name]
        return len(found.partitions) == self._partitions and all(p.leader >= 0 for p in found.partitions.values())

    def __exit__(self, *_: object) -> None:
        self._admin.delete_topics([self._name])[self._name].result(_TOPIC_S_MAX)


class _CatchUpReader:
    """``bench.clients.catch_up`` while it runs."""

    def __init__(self, server: Server, topic: str, partitions: int, records: int, record_bytes: int) -> None:
        self._server = server
        self._command = _client_command(
            "catch_up", server, topic=topic, partitions=partitions, records=records, record_bytes=record_bytes
        )
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "_CatchUpReader":
        """Returns once it has got its first records."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=_ROOT)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def finish(self) -> float:
        """End it; the bytes per second that it read."""
        assert self._process is not None
        output, errors = self._process.communicate(timeout=_CLIENT_S_MAX)
        if self._process.returncode:
            raise ServerError(f"The catch_up client failed against {self._server.title}: {errors.strip()[-2000:]}")
        result = json.loads(output)
        return float(result["bytes"] / result["seconds"])

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def _client_command(module: str, server: Server, **arguments: Any) -> list[str]:
    return [
        sys.executable,
        "-m",
        f"bench.clients.{module}",
        json.dumps({"bootstrap": server.bootstrap, **arguments}),
    ]


def _client(module: str, server: Server, **arguments: Any) -> dict[str, Any]:
    done = subprocess.run(
        _client_command(module, server, **arguments),
        capture_output=True,
        text=True,
        timeout=_CLIENT_S_MAX,
        cwd=_ROOT,
        check=False,
    )
    server.check_alive()
    if done.returncode:
        raise ServerError(f"The {module} client failed against {server.title}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout))


def _latency(
    server: Server,
    effort: Effort,
    topic: str,
    partitions: int,
    record_bytes: int,
    rate_hz: float,
    *,
    single: bool,
    sample_every: int,
) -> dict[str, Any]:
    return _client(
        "latency",
        server,
        topic=topic,
        partitions=partitions,
        record_bytes=record_bytes,
        rate_hz=rate_hz,
        seconds=effort.latency_seconds,
        warm_up_s=effort.latency_warm_up_s,
        single=single,
        sample_every=sample_every,
    )


def _latency_figures(what: str, result: dict[str, Any]) -> Iterator[Figure]:
    for percentile in ("p50", "p99"):
        yield Figure(name=f"{what}: {percentile}", value=result[f"{percentile}_ms"], unit="ms", better="lower")


def _size(size_bytes: int) -> str:
    return f"{size_bytes >> 10} KiB" if size_bytes % 1024 == 0 else f"{size_bytes} B"


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
