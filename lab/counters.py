"""What Raylog's counters say of the bucket, from nodes' ``/metrics`` or from the files that a local cluster's roles count in."""

import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_REQUESTS: Final = "raylog_store_requests_total"
_PAGE_S_MAX: Final = 2.0

Counts = Mapping[str, float]
"""Requests to the bucket by kind (put, put_if_absent, get, head, list, delete), every attempt counted."""


def from_folder(folder: Path) -> Counts:
    """Of all the roles that have ever counted in the folder (``metrics`` in the run's folder), the dead ones included."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    return requests_of(MultiProcessCollector(CollectorRegistry(), path=str(folder)).collect())


def from_pages(urls: Sequence[str]) -> Counts:
    """Of several nodes together. Raises OSError when one does not answer: a sum without it would go down."""
    from prometheus_client.parser import text_string_to_metric_families

    counts: dict[str, float] = {}
    for url in urls:
        with urllib.request.urlopen(url, timeout=_PAGE_S_MAX) as page:
            families = text_string_to_metric_families(page.read().decode())
        for kind, count in requests_of(families).items():
            counts[kind] = counts.get(kind, 0.0) + count
    return counts


def requests_of(families: "Iterable[Metric]") -> Counts:
    counts: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            if sample.name == _REQUESTS:
                kind = sample.labels["kind"]
                counts[kind] = counts.get(kind, 0.0) + sample.value
    return counts
