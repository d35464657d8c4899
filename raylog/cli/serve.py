"""``raylog serve``: Kafka on one machine, from an embedded Ray, with everything in one bucket."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from raylog.cli.interrupts import InterruptedStartError, Interrupts
from raylog.model.clock import SystemClock
from raylog.model.config import ClusterConfig, load_config_file
from raylog.model.errors import InvalidError

_LOCAL_SCHEMES = ("", "file")
_LOOK_EVERY_S = 0.5
"""How soon the end of Ray's own processes is seen."""


def serve(
    listen: Annotated[str | None, typer.Option(help="Address for Kafka clients. [default: 127.0.0.1:9092]")] = None,
    store: Annotated[
        str | None, typer.Option(help="The bucket: s3://bucket/prefix or a folder. [default: ./raylog-data]")
    ] = None,
    wal: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=URL", help="A WAL class, such as fast=file:///mnt/ebs. Repeatable."),
    ] = None,
    default_wal: Annotated[str | None, typer.Option(help="The WAL class of topics that name none.")] = None,
    leaders: Annotated[
        int | None, typer.Option(min=1, help="Leaders per WAL class. [default: one per two CPUs]")
    ] = None,
    gateways: Annotated[int | None, typer.Option(min=1, help="Gateways. [default: one per four CPUs]")] = None,
    spares: Annotated[
        int | None,
        typer.Option(min=0, help="Warm processes that wait for a leader to fail. [default: as leaders, at most 4]"),
    ] = None,
    advertise: Annotated[str | None, typer.Option(help="Address that clients are told to connect to.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Address of /metrics; '' for none. [default: 127.0.0.1:9404]")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Use a running Ray cluster ('auto': this node's) instead of an embedded one.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with these settings and more.")] = None,
    log_level: Annotated[str | None, typer.Option(help="WARNING, INFO or DEBUG.")] = None,
) -> int:
    """Serve Kafka from this machine until Ctrl-C.

    All state is in the bucket (and, for file WALs, the newest seconds in the WAL's folder): start it again on the same ones
    and every acknowledged record, offset and topic is there.
    """
    chosen = {
        "listen": listen,
        "store": store,
        "default_wal": default_wal,
        "leaders": leaders,
        "gateways": gateways,
        "spares": spares,
        "advertise": advertise,
        "metrics": metrics,
        "log_level": log_level,
        "wal": dict(_named_url(text) for text in wal or []) or None,
    }
    base = load_config_file(config, ClusterConfig()) if config else ClusterConfig()
    resolved = with_default_wals(
        base.with_values({name: value for name, value in chosen.items() if value is not None}, "command line")
    )
    return _run(resolved, address)


def _named_url(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator or not name or not url:
        raise InvalidError(f"'{text}' is not a WAL class: write it as NAME=URL, such as fast=file:///mnt/ebs.")
    return name, url


def with_default_wals(config: ClusterConfig) -> ClusterConfig:
    """Paths made absolute, and both WAL classes declared: ``object`` always, ``file`` beside a local folder."""
    from urllib.parse import urlsplit

    from raylog.storage.wal_class import parse_wal_class

    parts = urlsplit(config.store)
    local = parts.scheme in _LOCAL_SCHEMES
    store = config.store
    wal = {"object": "object:", **config.wal}
    if local:
        folder = Path(parts.path).resolve()
        store = folder.as_uri() + (f"?{parts.query}" if parts.query else "")
        if "file" not in wal:
            # A mount is never made by Raylog, as a missing one means a missing volume; this folder is its own.
            beside = folder.with_name(folder.name + "-wal")
            beside.mkdir(parents=True, exist_ok=True)
            wal["file"] = beside.as_uri()
    default = config.default_wal or ("file" if local else "object")
    if default not in wal:
        raise InvalidError(f"The default WAL class '{default}' is not declared: add --wal {default}=URL.")
    for name, url in wal.items():
        mount = parse_wal_class(name, url).mount
        if mount is not None and not mount.is_dir():
            raise InvalidError(f"The folder {mount} of WAL class '{name}' is not there: mount its volume, or make it.")
    return config.with_values({"store": store, "wal": wal, "default_wal": default}, "defaults")


def _run(config: ClusterConfig, address: str | None) -> int:
    """Serve until interrupted; returns the exit code."""
    interrupts = Interrupts()
    interrupts.install()
    from actors.local_cluster import LocalCluster

    console = Console(stderr=True, highlight=False)
    clock = SystemClock()
    begun = clock.monotonic()
    cluster = LocalCluster(config, clock, address)

    def step(text: str) -> None:
        console.print(f"[dim]{clock.monotonic() - begun:5.1f} s[/dim]  {text}")

    exit_code = 0
    try:
        cluster.start(step, interrupts.check)
        interrupts.install()
        _announce(console, cluster.config)
        while not interrupts.wait(_LOOK_EVERY_S):
            cluster.check()
    except (InterruptedStartError, SystemExit):
        # SystemExit is Ray's own way to take SIGTERM while it starts.
        exit_code = interrupts.exit_code
    finally:
        interrupts.install()
        step("stopping")
        cluster.stop(step)
    step("stopped before it served" if exit_code else "stopped")
    return exit_code


def _announce(console: Console, config: ClusterConfig) -> None:
    from actors.gateway_actor import advertised_address

    console.print(f"[bold green]Raylog serves Kafka on {advertised_address(config)}[/bold green]  (Ctrl-C stops it)")
    console.print(f"  bucket   {config.store}")
    for name, url in config.wal.items():
        console.print(f"  wal      {name}: {url}{'  (default)' if name == config.default_wal else ''}")
    if config.metrics:
        console.print(f"  metrics  http://{config.metrics}/metrics")
    console.print(f"  logs     {config.run_dir}/logs")
    console.print(f"  try      raylog topics create events --bootstrap-server {advertised_address(config)}")
