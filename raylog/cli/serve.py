"""``raylog serve``: Kafka for as long as the command runs, from an embedded one-node Ray or from all nodes of another."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from actors.deployment import Step
from raylog.cli.cluster_options import (
    Advertise,
    ConfigFile,
    DefaultWal,
    Gateways,
    Leaders,
    Listen,
    LogLevel,
    Metrics,
    Spares,
    Store,
    Wals,
    cluster_config,
)
from raylog.cli.interrupts import InterruptedStartError, Interrupts
from raylog.model.clock import SystemClock
from raylog.model.config import ClusterConfig

_LOOK_EVERY_S = 0.5
"""How soon the end of Ray's own processes is seen."""

Served = tuple[ClusterConfig, list[str]]
"""What is served with, and where."""


def serve(
    listen: Listen = None,
    store: Store = None,
    wal: Wals = None,
    default_wal: DefaultWal = None,
    leaders: Leaders = None,
    gateways: Gateways = None,
    spares: Spares = None,
    advertise: Advertise = None,
    metrics: Metrics = None,
    address: Annotated[
        str | None, typer.Option(help="Use a running Ray cluster ('auto': this node's) instead of an embedded one.")
    ] = None,
    config: ConfigFile = None,
    log_level: LogLevel = None,
) -> int:
    """Serve Kafka until Ctrl-C: from this machine, or with --address from every node of a Ray cluster.

    All state is in the bucket (and, for file WALs, the newest seconds in the WAL's folder): start it again on the same ones
    and every acknowledged record, offset and topic is there.
    """
    resolved = cluster_config(
        config,
        wal,
        joins=address is not None,
        listen=listen,
        store=store,
        default_wal=default_wal,
        leaders=leaders,
        gateways=gateways,
        spares=spares,
        advertise=advertise,
        metrics=metrics,
        log_level=log_level,
    )
    return _serve_here(resolved) if address is None else _serve_on(resolved, address)


def _serve_here(config: ClusterConfig) -> int:
    """On an embedded Ray; returns the exit code."""
    from actors.local_cluster import LocalCluster

    clock = SystemClock()
    cluster = LocalCluster(config, clock)

    def start(step: Step, interrupts: Interrupts) -> Served:
        from actors.this_node import advertised_address

        cluster.start(step, interrupts.check)
        return cluster.config, [str(advertised_address(cluster.config))]

    return _until_interrupted(start, cluster.check, cluster.stop, clock)


def _serve_on(config: ClusterConfig, address: str) -> int:
    """On a running Ray; returns the exit code."""
    from actors.joined_cluster import JoinedCluster

    clock = SystemClock()
    cluster = JoinedCluster(address, clock)
    cluster.connect()
    try:
        cluster.require_absent()

        def start(step: Step, interrupts: Interrupts) -> Served:
            return cluster.start(config, step, interrupts.check)

        return _until_interrupted(start, cluster.check, cluster.stop, clock)
    finally:
        cluster.leave()


def _until_interrupted(
    start: Callable[[Step, Interrupts], Served],
    check: Callable[[], None],
    stop: Callable[[Step], None],
    clock: SystemClock,
) -> int:
    interrupts = Interrupts()
    interrupts.install()
    console = Console(stderr=True, highlight=False)
    begun = clock.monotonic()

    def step(text: str) -> None:
        console.print(f"[dim]{clock.monotonic() - begun:5.1f} s[/dim]  {text}")

    exit_code = 0
    try:
        config, addresses = start(step, interrupts)
        interrupts.install()
        announce(console, config, addresses, "  (Ctrl-C stops it)")
        while not interrupts.wait(_LOOK_EVERY_S):
            check()
    except (InterruptedStartError, SystemExit):
        # SystemExit is Ray's own way to take SIGTERM while it starts.
        exit_code = interrupts.exit_code
    finally:
        interrupts.install()
        step("stopping")
        stop(step)
    step("stopped before it served" if exit_code else "stopped")
    return exit_code


def announce(console: Console, config: ClusterConfig, addresses: list[str], how_to_stop: str) -> None:
    """Tell a person where everything is. ``addresses`` are what clients connect to, one of each node."""
    console.print(f"[bold green]Raylog serves Kafka on {', '.join(addresses)}[/bold green]{how_to_stop}")
    console.print(f"  bucket   {config.store}")
    for name, url in config.wal.items():
        console.print(f"  wal      {name}: {url}{'  (default)' if name == config.default_wal else ''}")
    if config.metrics:
        console.print(f"  metrics  http://{config.metrics}/metrics")
    console.print(f"  logs     {config.run_dir}/logs")
    console.print(f"  try      raylog topics create events --bootstrap-server {addresses[0]}")
