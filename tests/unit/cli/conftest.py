"""A Kafka without a server: librdkafka's mock cluster, which real clients connect to over loopback."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from raylog.cli.main import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    code: int
    out: str
    err: str


RunCli = Callable[..., Outcome]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunCli:
    """Run one command line in this process, with ``stdin`` as its standard input."""
    monkeypatch.delenv("RAYLOG_BOOTSTRAP_SERVER", raising=False)

    def run_cli(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = run(arguments)
        captured = capfd.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run_cli


@pytest.fixture(scope="module")
def mock_kafka() -> Iterator[str]:
    """The address of a mock cluster; topics come to be with four partitions when they are asked for by name."""
    from confluent_kafka import Producer

    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    cluster.flush(0)
