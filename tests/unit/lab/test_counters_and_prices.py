"""Requests to the bucket, by kind, and what they cost."""

import pytest
from prometheus_client import CollectorRegistry

from lab.counters import requests_of
from lab.prices import EXPRESS, STANDARD, for_latency
from raylog.storage.metered_store import StoreMetrics


def test_every_attempt_counts_whatever_came_of_it() -> None:
    registry = CollectorRegistry()
    metrics = StoreMetrics(registry)
    metrics.requests.labels("put", "ok").inc(3)
    metrics.requests.labels("put", "retry").inc(2)
    metrics.requests.labels("get", "not_found").inc()
    assert requests_of(registry.collect()) == {"put": 5.0, "get": 1.0}


def test_writes_and_lists_cost_more_than_reads_and_deletes_nothing() -> None:
    assert STANDARD.dollars({"put": 500, "put_if_absent": 250, "list": 250}) == pytest.approx(0.005)
    assert STANDARD.dollars({"get": 900, "head": 100}) == pytest.approx(0.0004)
    assert STANDARD.dollars({"delete": 1e6}) == 0


def test_a_modelled_bucket_has_the_prices_of_its_class() -> None:
    assert for_latency("s3-express") is EXPRESS
    assert for_latency("s3-standard") is for_latency("") is STANDARD
