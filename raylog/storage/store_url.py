"""From a URL to a ready store.

==============================================  =================================================================
``file:///folder`` or a folder's path            a local folder
``s3://bucket/prefix``                           S3; options ``endpoint``, ``region``, ``path_style=true|false``
``memory://``                                    in memory, gone with the process
==============================================  =================================================================

Any of them takes ``latency=s3-standard|s3-express`` (the latency model, for benchmarks) and ``hedge=true|false`` (whether
slow conditional PUTs are sent twice; on for S3 and under a latency model). A folder takes ``brake=FILE`` (for experiments:
raylog/storage/brake.py).

The wrappers, from the outside in: RetryingStore (gate, time-outs, retries, hedges), MeteredStore (so that every attempt is
counted), FaultyStore (so that modelled latency looks like the store's own), backend.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from raylog.model.clock import Clock, Random
from raylog.model.errors import InvalidError
from raylog.model.limits import Limits, StoreLimits
from raylog.storage.brake import Brake
from raylog.storage.faulty_store import FaultyStore
from raylog.storage.hedge_delay import HedgeDelay
from raylog.storage.latency_model import LATENCY_MODELS, NO_LATENCY
from raylog.storage.local_store import LocalStore
from raylog.storage.memory_store import MemoryStore
from raylog.storage.metered_store import MeteredStore, StoreMetrics
from raylog.storage.object_store import ObjectStore
from raylog.storage.retrying_store import RetryingStore

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_COMMON_OPTIONS = frozenset(("latency", "hedge"))
_OPTIONS = {
    "file": _COMMON_OPTIONS | {"brake"},
    "memory": _COMMON_OPTIONS,
    "s3": _COMMON_OPTIONS | {"endpoint", "region", "path_style"},
}


async def open_store(
    url: str,
    *,
    clock: Clock,
    rng: Random,
    limits: Limits | None = None,
    registry: "CollectorRegistry | None" = None,
) -> ObjectStore:
    """The store behind ``url``; ``registry`` None: not metered. Raises InvalidError, in one sentence, for a bad URL."""
    scheme, place, options = _parse(url)
    store_limits = (limits or Limits()).store
    if scheme == "file" and "latency" not in options:
        # As many as there are threads, or urgent requests would queue for a thread behind others.
        store_limits = replace(store_limits, requests_max=min(store_limits.requests_max, store_limits.local_threads))
    store = await _open_backend(scheme, place, options, clock, store_limits)
    latency = options.get("latency")
    if latency is not None and latency not in LATENCY_MODELS:
        raise InvalidError(f"There is no latency model '{latency}' ({url}): use {' or '.join(LATENCY_MODELS)}.")
    brake = Brake(Path(options["brake"]), clock) if "brake" in options else None
    if latency is not None or brake is not None:
        model = NO_LATENCY if latency is None else LATENCY_MODELS[latency]
        store = FaultyStore(store, clock=clock, rng=rng, latency=model, brake=brake)
    if registry is not None:
        store = MeteredStore(store, clock=clock, metrics=StoreMetrics(registry))
    is_hedged = _boolean(url, options, "hedge")
    if is_hedged is None:
        is_hedged = scheme == "s3" or latency is not None
    hedge_delay = HedgeDelay(min_s=store_limits.hedge_s_min, max_s=store_limits.hedge_s_max) if is_hedged else None
    return RetryingStore(store, clock=clock, rng=rng, limits=store_limits, hedge_delay=hedge_delay)


def is_local_url(url: str) -> bool:
    """Whether the bucket is a folder of this machine. Raises InvalidError for a bad URL."""
    return _parse(url)[0] == "file"


def local_folder(url: str) -> Path | None:
    """The folder of a bucket on this machine; None for any other. Raises InvalidError for a bad URL."""
    scheme, place, _ = _parse(url)
    return Path(place) if scheme == "file" else None


async def _open_backend(
    scheme: str, place: str, options: Mapping[str, str], clock: Clock, limits: StoreLimits
) -> ObjectStore:
    if scheme == "memory":
        return MemoryStore(clock)
    if scheme == "file":
        return await LocalStore.open(Path(place), threads=limits.local_threads)
    from raylog.storage.s3_store import S3Location, S3Store

    bucket, _, prefix = place.partition("/")
    location = S3Location(
        bucket=bucket,
        prefix=prefix.strip("/"),
        endpoint=options.get("endpoint"),
        region=options.get("region"),
        path_style=_boolean(f"s3://{place}", options, "path_style"),
    )
    return await S3Store.open(location, limits)


def _parse(url: str) -> tuple[str, str, dict[str, str]]:
    """Scheme, place (folder, or bucket and prefix) and options."""
    if "://" not in url:
        if not url:
            raise InvalidError("The store's URL is empty: write a folder's path, file:///folder or s3://bucket/prefix.")
        path, _, query = url.partition("?")
        return "file", path, _options("file", url, query)
    parts = urlsplit(url)
    if parts.scheme not in _OPTIONS:
        raise InvalidError(
            f"There is no kind of store '{parts.scheme}' ({parts.scheme}://…): write a folder's path, file:///folder or "
            "s3://bucket/prefix."
        )
    if parts.username or parts.password:
        raise InvalidError(
            f"Credentials do not belong in the store's URL ({parts.scheme}://…): set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    if parts.fragment:
        raise InvalidError(f"The store's URL {url} has a fragment: write '#' as %23.")
    options = _options(parts.scheme, url, parts.query)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise InvalidError(f"The store's URL {url} names a host: write three slashes, file:///folder.")
        return "file", unquote(parts.path), options
    if parts.scheme == "s3" and not parts.netloc:
        raise InvalidError(f"The store's URL {url} names no bucket: write s3://bucket/prefix.")
    return parts.scheme, f"{parts.netloc}{unquote(parts.path)}", options


def _options(scheme: str, url: str, query: str) -> dict[str, str]:
    try:
        options = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
    except ValueError as error:
        raise InvalidError(f"The store's URL {url} has a query that is not name=value&name=value.") from error
    unknown = sorted(options.keys() - _OPTIONS[scheme])
    if unknown:
        raise InvalidError(
            f"The store's URL {url} has an option '{unknown[0]}' that {scheme} does not know: it knows "
            f"{', '.join(sorted(_OPTIONS[scheme]))}."
        )
    return options


def _boolean(url: str, options: Mapping[str, str], name: str) -> bool | None:
    value = options.get(name)
    if value is None:
        return None
    if value not in ("true", "false"):
        raise InvalidError(f"The option '{name}' of the store's URL {url} is true or false, not '{value}'.")
    return value == "true"
