"""The options that say what a cluster is, for the commands that start one, and what they make of them and of a file."""

from pathlib import Path
from typing import Annotated

import typer

from raylog.model.config import ClusterConfig, load_config_file
from raylog.model.errors import InvalidError

Listen = Annotated[
    str | None,
    typer.Option(
        help="Address for Kafka clients. [default: 127.0.0.1:9092; on a running Ray 0.0.0.0:9092 of each node]"
    ),
]
Store = Annotated[str | None, typer.Option(help="The bucket: s3://bucket/prefix or a folder. [default: ./raylog-data]")]
Wals = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=URL", help="A WAL class, such as fast=file:///mnt/ebs. Repeatable."),
]
DefaultWal = Annotated[str | None, typer.Option(help="The WAL class of topics that name none.")]
Leaders = Annotated[int | None, typer.Option(min=1, help="Leaders per node and WAL class. [default: one per two CPUs]")]
Gateways = Annotated[int | None, typer.Option(min=1, help="Gateways per node. [default: one per four CPUs]")]
Spares = Annotated[
    int | None,
    typer.Option(
        min=0, help="Warm processes per node that wait for a leader to fail. [default: as leaders, at most 4]"
    ),
]
Advertise = Annotated[str | None, typer.Option(help="Address that clients are told to connect to.")]
Metrics = Annotated[
    str | None, typer.Option(help="Address of each node's /metrics; '' for none. [default: 127.0.0.1:9404]")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file with these settings and more.")]
LogLevel = Annotated[str | None, typer.Option(help="WARNING, INFO or DEBUG.")]
RayAddress = Annotated[
    str,
    typer.Option("--address", help="The Ray cluster: its GCS's host:port, or 'auto' for the one that this node is of."),
]

_LOCAL_SCHEMES = ("", "file")
_LISTEN_ON_EVERY_NODE = "0.0.0.0:9092"


def cluster_config(
    config_file: Path | None, wal: list[str] | None, *, joins: bool, **chosen: str | int | None
) -> ClusterConfig:
    """The configuration by defaults, file and options, later ones winning. ``joins``: it is for a running Ray, of many nodes.

    Raises InvalidError.
    """
    base = ClusterConfig(listen=_LISTEN_ON_EVERY_NODE) if joins else ClusterConfig()
    if config_file is not None:
        base = load_config_file(config_file, base)
    given: dict[str, object] = {name: value for name, value in chosen.items() if value is not None}
    if wal:
        given["wal"] = dict(_named_url(text) for text in wal)
    return with_default_wals(base.with_values(given, "command line"))


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
        wal_class = parse_wal_class(name, url)
        # Of a class that only some nodes have, this node need not have the folder.
        is_everywhere = not (wal_class.label or wal_class.resource)
        if wal_class.mount is not None and is_everywhere and not wal_class.mount.is_dir():
            raise InvalidError(
                f"The folder {wal_class.mount} of WAL class '{name}' is not there: mount its volume, or make it."
            )
    return config.with_values({"store": store, "wal": wal, "default_wal": default}, "defaults")
