"""WAL classes: a name and a URL in the configuration, chosen per topic with ``raylog.wal``; and the WAL that each one means.

- ``file:///mount?capacity=8GiB&segment=64MiB&flush_interval_ms=10000&flush_bytes=64MiB&inline_commit_ms=2&inline_commit_bytes=128KiB``
- ``object:?interval_ms=250&max_bytes=8MiB``; for a bucket on S3 Express ``object:?interval_ms=15``

Parameters are optional; the values shown are the defaults. Where not every node has the folder mounted, a class names what Ray
knows such nodes by:

- ``?label=KEY``: a label of the node, whose value names the volume. Leaders go from one node to another only with the same value.
- ``?resource=NAME``: a custom resource, of the nodes that share one volume
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from raylog.model.clock import Clock
from raylog.model.errors import InvalidError
from raylog.model.ids import LeaderId
from raylog.storage.file_wal import FileWal, FileWalLimits
from raylog.storage.object_wal import ObjectWal
from raylog.storage.wal import FlushPolicy, Wal
from raylog.storage.wal_disk import PosixDisk
from raylog.storage.wal_pool import Offload, ThreadOffload

_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
DEFAULT_OBJECT_POLICY = FlushPolicy(interval_ms=250, max_bytes=8 << 20, immediate=True)
_CAPACITY_BYTES_MIN = 256 << 20
"""Above the largest request, so that every entry fits beside the active segment."""
_SEGMENT_BYTES_MIN = 1 << 20
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,126}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WalClass:
    """One entry of the configuration, checked."""

    name: str
    url: str
    kind: Literal["file", "object"]
    flush_policy: FlushPolicy
    mount: Path | None = None
    """The folder of a ``file`` class; every node that may run its leaders mounts it there."""
    limits: FileWalLimits = field(default_factory=FileWalLimits)
    label: str = ""
    """The Ray label of the nodes that may run its leaders; empty: any node may, as far as labels go."""
    resource: str = ""
    """The custom Ray resource of such nodes; empty: none is needed."""


def parse_wal_class(name: str, url: str) -> WalClass:
    """Raises InvalidError, in one sentence that says what would be right."""
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"WAL class name {name!r} must be lower-case letters, digits and '-', beginning with a letter."
        )
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    label, resource = (_needed_name(name, key, parameters.pop(key, None)) for key in ("label", "resource"))
    if label and resource:
        raise InvalidError(f"WAL class {name} names a label and a resource of its nodes: one of them is enough.")
    match parts.scheme:
        case "file":
            made = _file_class(name, url, parts, parameters)
        case "object":
            made = _object_class(name, url, parts, parameters)
        case _:
            raise InvalidError(
                f"WAL class {name} has the URL {url!r}, but it must begin with 'file:///' (a mounted folder) or 'object:'."
            )
    return replace(made, label=label, resource=resource)


def open_wal(wal_class: WalClass, leader_id: LeaderId, *, clock: Clock, offload: Offload | None = None) -> Wal:
    """The WAL of one leader of this class, not yet open. ``offload`` runs its blocking calls; by default threads of its own."""
    if wal_class.kind == "object":
        return ObjectWal(flush_policy=wal_class.flush_policy)
    assert wal_class.mount is not None
    return FileWal(
        name=wal_class.name,
        leader_id=leader_id,
        disk=PosixDisk(wal_class.mount, leader_folder(leader_id)),
        limits=wal_class.limits,
        flush_policy=wal_class.flush_policy,
        clock=clock,
        offload=offload or ThreadOffload(f"wal-{leader_id}"),
    )


def leader_folder(leader_id: LeaderId) -> str:
    return f"leader-{leader_id:06d}"


def object_wals(classes: Mapping[str, str], default_wal: str) -> dict[str, FlushPolicy]:
    """The flush policies of those of the classes that are the bucket; the default one, if it is one, is there as '' too."""
    parsed = [parse_wal_class(name, url) for name, url in classes.items()]
    found = {wal_class.name: wal_class.flush_policy for wal_class in parsed if wal_class.kind == "object"}
    return {**found, "": found[default_wal]} if default_wal in found else found


def parse_size(text: str) -> int:
    """``64MiB``, ``8GiB``, ``4096``: bytes. Raises ValueError."""
    found = re.fullmatch(r"(\d+)\s*([KMGT]iB|B)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    return int(found[1]) * _UNITS[found[2] or ""]


def _file_class(name: str, url: str, parts: SplitResult, parameters: Mapping[str, str]) -> WalClass:
    if parts.netloc or not parts.path.startswith("/"):
        raise InvalidError(
            f"WAL class {name} has the URL {url!r}, but a file WAL needs an absolute path: file:///mount."
        )
    values = _parameters(
        name,
        parameters,
        {
            "capacity": parse_size,
            "segment": parse_size,
            "flush_interval_ms": _positive,
            "flush_bytes": parse_size,
            "inline_commit_ms": _not_negative,
            "inline_commit_bytes": parse_size,
        },
    )
    defaults = FileWalLimits()
    limits = FileWalLimits(
        segment_bytes=int(values.get("segment", defaults.segment_bytes)),
        capacity_bytes=int(values.get("capacity", defaults.capacity_bytes)),
        inline_commit_ms_max=values.get("inline_commit_ms", defaults.inline_commit_ms_max),
        inline_commit_bytes_max=int(values.get("inline_commit_bytes", defaults.inline_commit_bytes_max)),
    )
    if limits.segment_bytes < _SEGMENT_BYTES_MIN:
        raise InvalidError(f"WAL class {name} has segments of {limits.segment_bytes} bytes; the least is 1MiB.")
    if limits.capacity_bytes < max(_CAPACITY_BYTES_MIN, 4 * limits.segment_bytes):
        raise InvalidError(
            f"WAL class {name} has a capacity of {limits.capacity_bytes} bytes; it needs 256MiB and four segments at least."
        )
    policy = FlushPolicy(
        interval_ms=int(values.get("flush_interval_ms", 10_000)),
        max_bytes=_flush_bytes(name, values.get("flush_bytes", 64 << 20)),
        immediate=False,
    )
    return WalClass(
        name=name, url=url, kind="file", flush_policy=policy, mount=Path(unquote(parts.path)), limits=limits
    )


def _object_class(name: str, url: str, parts: SplitResult, parameters: Mapping[str, str]) -> WalClass:
    if parts.netloc or parts.path:
        raise InvalidError(
            f"WAL class {name} has the URL {url!r}, but an object WAL lies in the cluster's own bucket: 'object:'."
        )
    values = _parameters(name, parameters, {"interval_ms": _positive, "max_bytes": parse_size})
    policy = replace(
        DEFAULT_OBJECT_POLICY,
        interval_ms=int(values.get("interval_ms", DEFAULT_OBJECT_POLICY.interval_ms)),
        max_bytes=_flush_bytes(name, values.get("max_bytes", DEFAULT_OBJECT_POLICY.max_bytes)),
    )
    return WalClass(name=name, url=url, kind="object", flush_policy=policy)


def _flush_bytes(name: str, value: float) -> int:
    if value < 64 << 10:
        raise InvalidError(f"WAL class {name} would flush every {int(value)} bytes; the least is 64KiB.")
    return int(value)


def _needed_name(name: str, key: str, value: str | None) -> str:
    if value is not None and not _LABEL_KEY.fullmatch(value):
        raise InvalidError(
            f"WAL class {name} has {key}={value!r}, which is not the name of a {key} that Ray nodes can have."
        )
    return value or ""


def _parameters(
    name: str, parameters: Mapping[str, str], known: Mapping[str, Callable[[str], float]]
) -> dict[str, float]:
    values: dict[str, float] = {}
    for key, text in parameters.items():
        if key not in known:
            names = ", ".join((*known, "label", "resource"))
            raise InvalidError(f"WAL class {name} has the parameter {key!r}; it may have {names}.")
        try:
            values[key] = known[key](text)
        except ValueError as error:
            raise InvalidError(f"WAL class {name} has {key}={text!r}, which is not a valid value.") from error
    return values


def _not_negative(text: str) -> float:
    if not 0 <= (value := float(text)) < 60_000:
        raise ValueError("must be 0 or above")
    return value


def _positive(text: str) -> int:
    if (value := int(text)) <= 0:
        raise ValueError("must be above 0")
    return value
