"""A node's ``/metrics``: the counters of all its roles, merged by prometheus-client from the files that they count in."""

from pathlib import Path

from raylog.model.config import HostPort


def serve_metrics(address: HostPort, folder: Path) -> None:
    """Answer HTTP on ``address`` from a thread of its own, for the life of the process."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    start_http_server(address.port, addr=address.host, registry=registry)
