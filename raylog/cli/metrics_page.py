"""Writes docs/metrics.md from the metrics themselves: ``python -m raylog.cli.metrics_page``."""

from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from controller.metrics import ControllerMetrics
from gateway.metrics import GatewayMetrics
from raylog.leader.metrics import LeaderMetrics
from raylog.storage.metered_store import StoreMetrics

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "metrics.md"

_INTRODUCTION: Final = """\
# Metrics

This page is made by `python -m raylog.cli.metrics_page`; a test holds it to the source. A node's `/metrics` (`--metrics`) merges
those of all its processes. Counters end in `_total`, histograms in `_bucket`, `_sum` and `_count`. The metrics of a gateway's
block cache begin with `raylog_block_cache`.

What the bucket costs is in `raylog_store_requests_total{kind,outcome}`, where every attempt counts, repeated and hedged ones
too. On S3 `put`, `put_if_absent` and `list` (one for each 1,000 objects) are billed as PUT requests, `get` and `head` as GET
requests, `delete` not at all. A body above `store.multipart_bytes_min` counts once and is billed as its parts and two more.

What zones cost is in `raylog_gateway_zone_bytes_total{link,direction,zone,peer_zone,crosses="yes"}`: bytes that gateways' sockets
have really sent and received, by what is at the other end (link: `client`, `leader_produce`, `leader_fetch`). On AWS a byte
that crosses is billed in the zone that it leaves and in the one that it comes to. Of a client whose client id has no `zone=`
nothing is known. docs/decisions/0017 says what crosses, and what never does.

| metric | type | what it says |
|---|---|---|
"""


def document() -> str:
    """The whole page."""
    registry = CollectorRegistry()
    StoreMetrics(registry)
    GatewayMetrics(registry, ())
    LeaderMetrics(registry, 0)
    ControllerMetrics(registry)
    families = sorted(registry.collect(), key=lambda family: family.name)
    return _INTRODUCTION + "".join(f"| `{f.name}` | {f.type} | {f.documentation} |\n" for f in families)


def main() -> None:
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
