"""Which servers and measurements a run has, in which order, and what came out."""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from statistics import median

from bench.kafka_server import KafkaServer, download, kafka_version
from bench.measures import Effort, Figure, Measure
from bench.servers import RaylogServer, Server

_SETTLE_S = 2.0


@dataclass(slots=True, kw_only=True)
class Results:
    """Figures by server and name; several rounds, and several readers of a round, give several values."""

    units: dict[str, Figure] = field(default_factory=dict)
    """Any figure of each name, in the order of the table's rows: it says the unit and the better direction."""
    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    def add(self, server: Server, figure: Figure) -> None:
        self.titles[server.name] = server.title
        self.units.setdefault(figure.name, figure)
        self.values.setdefault((server.name, figure.name), []).append(figure.value)

    def value(self, server: str, figure: str) -> float | None:
        """The median of all rounds."""
        found = self.values.get((server, figure))
        return median(found) if found else None

    def ratio(self, server: str, other: str, figure: str) -> float | None:
        """The median of the ratios of what was measured in turn: the machine's other load is nearly the same for both."""
        ours, theirs = self.values.get((server, figure)), self.values.get((other, figure))
        if not ours or not theirs:
            return None
        return median(a / b for a, b in zip(ours, theirs, strict=False))


OnStep = Callable[[Server, str, Figure | None], None]
"""Called when a measurement begins (no figure yet) and with each figure."""


def raylog_servers() -> list[Server]:
    return [
        RaylogServer(name="file", title="file WAL", wal="file"),
        RaylogServer(name="object", title="object WAL, local folder", wal="object"),
        RaylogServer(
            name="s3-standard", title="object WAL, S3 Standard model", wal="object", store_query="?latency=s3-standard"
        ),
        RaylogServer(
            name="s3-express",
            title="object WAL, S3 Express model",
            wal="object",
            wal_query="?interval_ms=15",
            store_query="?latency=s3-express",
        ),
    ]


def kafka_servers() -> list[Server]:
    """Raylog's file WAL and what it is compared with. Downloads Kafka at its first use."""
    libraries = download()
    title = f"Kafka {kafka_version()}"
    return [
        RaylogServer(name="file", title="Raylog, file WAL", wal="file"),
        KafkaServer(name="kafka", title=title, libraries=libraries),
        KafkaServer(
            name="kafka-fsync",
            title=f"{title}, flush.messages=1",
            libraries=libraries,
            topic_config={"flush.messages": "1"},
        ),
    ]


def run_in_turn(servers: Sequence[Server], measures: Sequence[Measure], effort: Effort, on_step: OnStep) -> Results:
    """Each server alone, from its start to its end."""
    results = Results()
    for server in servers:
        with server:
            results.add(server, _ready(server))
            for measure in measures:
                _measure([server], measure, effort, results, on_step)
            results.add(server, _memory(server))
    return results


def run_interleaved(
    servers: Sequence[Server], measures: Sequence[Measure], effort: Effort, rounds: int, on_step: OnStep
) -> Results:
    """All servers up; each figure of each measurement on one after the other, round after round, so that what is compared was
    measured seconds apart: ratios hold on a shared machine then."""
    results = Results()
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
            results.add(server, _ready(server))
        for turn in range(rounds):
            for number, measure in enumerate(measures):
                # In three rounds each of three is once the first to write, and once the last.
                first = (turn + number) % len(servers)
                _measure([*servers[first:], *servers[:first]], measure, effort, results, on_step)
        for server in servers:
            results.add(server, _memory(server))
    return results


def _measure(servers: Sequence[Server], measure: Measure, effort: Effort, results: Results, on_step: OnStep) -> None:
    with ExitStack() as stack:
        under_way = deque((server, stack.enter_context(closing(measure.run(server, effort)))) for server in servers)
        for server in servers:
            on_step(server, measure.name, None)
        while under_way:
            for server, figures in tuple(under_way):
                figure = next(figures, None)
                if figure is None:
                    under_way.remove((server, figures))
                    continue
                results.add(server, figure)
                on_step(server, measure.name, figure)
                # What this one left to be written must not be charged to the next.
                os.sync()
                time.sleep(_SETTLE_S)
            under_way.rotate(-1)  # nobody is always the one after the same other
    for server in servers:
        server.drop_page_cache()


def _ready(server: Server) -> Figure:
    return Figure(name="ready after", value=server.started_in_s, unit="s", better="lower")


def _memory(server: Server) -> Figure:
    return Figure(name="memory after the runs", value=server.resident_bytes() / 1e6, unit="MB", better="lower")
