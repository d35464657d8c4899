"""``python -m bench.many_partitions``: what a cluster of many partitions costs, on a real ``raylog serve``.

Topics are made one after the other, each is written to in all its partitions, and the server is started again on what it
has. Times of a request are the median of a few. Figures go to docs/performance.md after a run of the usual size.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Annotated, Any, Final

import typer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from rich.console import Console

from bench import machine, report
from bench.everywhere import produce_everywhere
from bench.measures import Figure
from bench.raw import asked, connected
from bench.servers import RaylogServer, Server, ServerError
from raylog.protocol.wire import request_schema

_TOPICS: Final = 10
_PARTITIONS: Final = 1_000
_METADATA: Final = (3, 12)
_REQUEST_S_MAX: Final = 120.0
_SETTLE_S: Final = 5.0
_IDLE_S: Final = 10.0
_ASKED: Final = 5


def many_partitions(
    topics: Annotated[int, typer.Option(min=1, help="Topics.")] = _TOPICS,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic.")] = _PARTITIONS,
    wal: Annotated[str, typer.Option(help="WAL class: file or object.")] = "file",
    page: Annotated[bool, typer.Option(help="Rewrite the section in docs/performance.md.")] = True,
) -> None:
    """Measure a cluster of many partitions: how long things take, and what they cost."""
    console = Console(stderr=True, highlight=False)
    figures = []
    try:
        with RaylogServer(name=wal, title=f"{wal} WAL", wal=wal) as server:
            for figure in measure(server, [f"many-{number}" for number in range(topics)], partitions):
                console.print(f"{figure.name:50} {report.number(figure.value):>8} {figure.unit}")
                figures.append(figure)
    except ServerError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    if page and (topics, partitions, wal) == (_TOPICS, _PARTITIONS, "file"):
        table = [
            [f"{topics} topics of {partitions:,} partitions", ""],
            *([f"{figure.name}, {figure.unit}", report.number(figure.value)] for figure in figures),
        ]
        report.rewrite_page("many-partitions", table, machine.describe(), "python -m bench.many_partitions")


def measure(server: Server, topics: Sequence[str], partitions: int) -> Iterator[Figure]:
    """All figures, in the order in which they come."""
    yield _seconds("ready without a topic", server.started_in_s)
    yield from _costs(server, "without a topic")
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    yield from _step(server, "create the first topic", lambda: _create(admin, topics[0], partitions))
    for topic in topics[1:-1]:
        _create(admin, topic, partitions)
    yield from _step(server, "create the last topic", lambda: _create(admin, topics[-1], partitions))
    answers = [_metadata(server) for _ in range(_ASKED)]
    yield Figure(name="Metadata of everything", value=median(a[0] for a in answers) * 1e3, unit="ms", better="lower")
    yield Figure(name="Metadata of everything, size", value=answers[0][1] / 1e3, unit="kB", better="lower")
    yield from _costs(server, "with all partitions")
    yield from _step(server, "the first record to each partition", lambda: _produce(server, topics, partitions))
    yield from _step(server, "one more record to each partition", lambda: _produce(server, topics, partitions))
    yield from _costs(server, "after producing")
    yield from _step(server, "alter one topic's settings", lambda: _retain(server, topics[0]))
    server.restart()
    until_taken = _timed(lambda: _produce(server, topics, partitions))
    yield _seconds("started again, until each partition has taken a record", server.started_in_s + until_taken)
    yield Figure(name="the same: server CPU", value=server.cpu_seconds(), unit="s", better="lower")
    yield from _costs(server, "after the restart")
    yield from _step(server, "delete one topic", lambda: _delete(server, topics[0]))


def _step(server: Server, name: str, work: Callable[[], object]) -> Iterator[Figure]:
    """How long it takes, and the CPU time of the server meanwhile, which means something on a crowded machine as well."""
    used_s = server.cpu_seconds()
    yield _seconds(name, _timed(work))
    yield Figure(name=f"{name}: server CPU", value=server.cpu_seconds() - used_s, unit="s", better="lower")


def _costs(server: Server, when: str) -> Iterator[Figure]:
    """What it takes while nobody asks anything of it."""
    time.sleep(_SETTLE_S)
    used_s, begun = server.cpu_seconds(), time.perf_counter()
    time.sleep(_IDLE_S)
    share = (server.cpu_seconds() - used_s) / (time.perf_counter() - begun)
    yield Figure(name=f"idle CPU {when}", value=share * 100, unit="% of a core", better="lower")
    yield Figure(name=f"memory {when}", value=server.resident_bytes() / 1e6, unit="MB", better="lower")


def _create(admin: AdminClient, topic: str, partitions: int) -> None:
    options: dict[str, Any] = {"operation_timeout": _REQUEST_S_MAX, "request_timeout": _REQUEST_S_MAX}
    admin.create_topics([NewTopic(topic, partitions, 1)], **options)[topic].result(_REQUEST_S_MAX)


def _delete(server: Server, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    admin.delete_topics([topic])[topic].result(_REQUEST_S_MAX)


def _retain(server: Server, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    change = ConfigEntry("retention.ms", "86400000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    admin.incremental_alter_configs([resource])[resource].result(_REQUEST_S_MAX)


def _produce(server: Server, topics: Sequence[str], partitions: int) -> None:
    produce_everywhere(server, dict.fromkeys(topics, partitions))


def _metadata(server: Server) -> tuple[float, int]:
    """Seconds from a Metadata request for all topics to its whole answer, and the answer's bytes."""
    schema: Any = request_schema(*_METADATA)
    request = schema(topics=None, allow_auto_topic_creation=False, include_topic_authorized_operations=False)
    with connected(server) as connection:
        begun = time.perf_counter()
        frame = asked(connection, request)
        elapsed = time.perf_counter() - begun
    return elapsed, len(frame)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _seconds(name: str, value: float) -> Figure:
    return Figure(name=name, value=value, unit="s", better="lower")


if __name__ == "__main__":
    typer.run(many_partitions)
