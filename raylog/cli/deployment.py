"""``raylog start`` and ``raylog stop``: Raylog on every node of a running Ray cluster, until it is stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.cluster_options import (
    Advertise,
    ConfigFile,
    DefaultWal,
    Gateways,
    Leaders,
    Listen,
    LogLevel,
    Metrics,
    RayAddress,
    Spares,
    Store,
    Wals,
    cluster_config,
)
from raylog.cli.interrupts import InterruptedStartError, Interrupts
from raylog.cli.output import note
from raylog.model.clock import SystemClock

if TYPE_CHECKING:
    from actors.joined_cluster import JoinedCluster


def start(
    address: RayAddress = "auto",
    listen: Listen = None,
    store: Store = None,
    wal: Wals = None,
    default_wal: DefaultWal = None,
    leaders: Leaders = None,
    gateways: Gateways = None,
    spares: Spares = None,
    advertise: Advertise = None,
    metrics: Metrics = None,
    config: ConfigFile = None,
    log_level: LogLevel = None,
    if_not_running: Annotated[
        bool, typer.Option("--if-not-running", help="Succeed, and change nothing, where Raylog runs already.")
    ] = False,
) -> int:
    """Start Raylog on every node of a running Ray cluster, and return once clients are served.

    It goes on after this command, and on nodes that join later. 'raylog stop' ends it.
    """
    from rich.console import Console

    from raylog.cli.serve import announce

    chosen = cluster_config(
        config,
        wal,
        joins=True,
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
    interrupts = Interrupts()
    with joined(address) as cluster:
        if if_not_running and cluster.is_deployed:
            note("Raylog runs on this Ray already.")
            return 0
        interrupts.install()
        try:
            resolved, addresses = cluster.start(chosen, note, interrupts.check)
        except InterruptedStartError:
            note("Raylog may be starting on Ray all the same: 'raylog stop' ends it.")
            return interrupts.exit_code
    announce(Console(stderr=True, highlight=False), resolved, addresses, "  ('raylog stop' stops it)")
    return 0


def stop(address: RayAddress = "auto") -> None:
    """Stop Raylog on a Ray cluster: what a file WAL holds goes to the bucket, and every process ends."""
    with joined(address) as cluster:
        cluster.check()
        cluster.stop(note)
    note("stopped")


@contextmanager
def joined(address: str) -> Iterator["JoinedCluster"]:
    """The Raylog of a Ray cluster, which is left as it is in the end."""
    from actors.joined_cluster import JoinedCluster

    cluster = JoinedCluster(address, SystemClock())
    cluster.connect()
    try:
        yield cluster
    finally:
        cluster.leave()
