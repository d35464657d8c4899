"""``python -m bench.idle_connections``: what thousands of clients cost that say nothing, and whether another one feels them.

Each has asked for the API versions, as every client does first, and is silent then. The active client sends records one by one.
"""

import resource
import socket
import time
from contextlib import ExitStack
from statistics import median, quantiles
from typing import Annotated, Any, Final

import typer
from kio.index import load_payload_module
from kio.static.constants import EntityType
from rich.console import Console

from bench import machine, report
from bench.measures import Figure, topic_of
from bench.raw import asked, connected
from bench.servers import RaylogServer, Server, ServerError
from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.wire import ms, request_schema, topic_name

_CONNECTIONS: Final = 5_000
_OWN_FILES: Final = 256
_IDLE_S: Final = 10.0
_SETTLE_S: Final = 3.0
_REQUESTS: Final = 500
_RECORDS: Final = encode_batch([Record(value=bytes(100))])


def idle_connections(
    connections: Annotated[int, typer.Option(min=1, help="Idle connections.")] = _CONNECTIONS,
    page: Annotated[bool, typer.Option(help="Rewrite the section in docs/performance.md.")] = True,
) -> None:
    """Measure what idle connections cost a gateway."""
    console = Console(stderr=True, highlight=False)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < connections + _OWN_FILES:
        console.print(f"This process may open {hard} files; {connections} connections need {connections + _OWN_FILES}.")
        raise typer.Exit(3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with RaylogServer(name="file", title="file WAL", wal="file") as server, topic_of(server, 1) as topic:
            table = _measure(server, topic, connections)
    except ServerError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    report.show(report.terminal_table(table, "python -m bench.idle_connections"))
    if page and connections == _CONNECTIONS:
        report.rewrite_page("idle-connections", table, machine.describe(), "python -m bench.idle_connections")


def _measure(server: Server, topic: str, connections: int) -> list[list[str]]:
    with ExitStack() as stack:
        before = _figures(server, topic)
        begun = time.perf_counter()
        for _ in range(connections):
            _greet(stack.enter_context(connected(server)))
        elapsed = time.perf_counter() - begun
        beside = _figures(server, topic)
    held = (beside[0].value - before[0].value) * 1e6 / connections / 1024
    table = [["", "no other connection", f"{connections:,} idle connections"]]
    table += [
        [f"{one.name}, {one.unit}", report.number(one.value), report.number(other.value)]
        for one, other in zip(before, beside, strict=True)
    ]
    table.append(["memory for each idle connection, KiB", "", report.number(held)])
    table.append(["connections opened and greeted, 1/s", "", report.number(connections / elapsed)])
    return table


def _figures(server: Server, topic: str) -> list[Figure]:
    latencies_ms = _produce(server, topic)
    time.sleep(_SETTLE_S)
    used_s, begun = server.cpu_seconds(), time.perf_counter()
    time.sleep(_IDLE_S)
    share = (server.cpu_seconds() - used_s) / (time.perf_counter() - begun)
    return [
        Figure(name="memory of the server", value=server.resident_bytes() / 1e6, unit="MB", better="lower"),
        Figure(name="CPU while nobody sends", value=share * 100, unit="% of a core", better="lower"),
        Figure(name="produce of one record: median", value=median(latencies_ms), unit="ms", better="lower"),
        Figure(name="produce of one record: p99", value=quantiles(latencies_ms, n=100)[-1], unit="ms", better="lower"),
    ]


def _greet(connection: socket.socket) -> None:
    asked(connection, request_schema(18, 3)(client_software_name="bench", client_software_version="1"))


def _produce(server: Server, topic: str) -> list[float]:
    types = load_payload_module(0, 9, EntityType.request)
    data: Any = types.PartitionProduceData(index=0, records=_RECORDS)
    request = types.ProduceRequest(
        transactional_id=None,
        acks=-1,
        timeout=ms(30_000),
        topic_data=(types.TopicProduceData(name=topic_name(topic), partition_data=(data,)),),
    )
    taken_ms = []
    with connected(server) as connection:
        for _ in range(_REQUESTS):
            begun = time.perf_counter()
            asked(connection, request)
            taken_ms.append((time.perf_counter() - begun) * 1e3)
    return taken_ms


if __name__ == "__main__":
    typer.run(idle_connections)
