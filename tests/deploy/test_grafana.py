"""deploy/grafana: every metric that the dashboard asks for is one that Raylog has, with the labels that it is grouped by."""

import json
import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controller.metrics import ControllerMetrics
from gateway.metrics import GatewayMetrics
from raylog.leader.metrics import LeaderMetrics
from raylog.storage.metered_store import StoreMetrics
from tests.deploy.manifests import DEPLOY

_BY_PROMETHEUS = {"le", "instance"}


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """The names under which Prometheus has them, each with its labels."""
    registry = CollectorRegistry()
    StoreMetrics(registry)
    GatewayMetrics(registry, ())
    LeaderMetrics(registry, 0)
    ControllerMetrics(registry)
    found: dict[str, set[str]] = {}
    for metric in {id(m): m for m in registry._names_to_collectors.values()}.values():
        labels = set(getattr(metric, "_labelnames", ()))
        for family in metric.describe():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix: labels for suffix in suffixes}
    return found


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DEPLOY / "grafana" / "raylog.json").read_text(encoding="utf-8"))
    return read


def test_every_metric_and_label_is_there(metrics: dict[str, set[str]]) -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            names = re.findall(r"raylog_\w+", target["expr"])
            assert names and set(names) <= metrics.keys(), (panel["title"], names)
            grouped = {label for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(", ")}
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert grouped - _BY_PROMETHEUS <= set.intersection(*(metrics[name] for name in names)), panel["title"]
            assert shown <= grouped, panel["title"]


def test_panels_have_places_and_names_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
