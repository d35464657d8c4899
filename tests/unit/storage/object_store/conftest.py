"""Every kind of store that the contract is tested on, and a loop whose time jumps instead of passing."""

import asyncio
import logging
import selectors
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from raylog.model.clock import SystemClock
from raylog.model.limits import MIB, StoreLimits
from raylog.storage.faulty_store import FaultModel, FaultyStore
from raylog.storage.hedge_delay import HedgeDelay
from raylog.storage.latency_model import LatencyModel, OperationLatency
from raylog.storage.local_store import LocalStore
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectStore
from raylog.storage.retrying_store import RetryingStore

SMALL_PARTS = StoreLimits(multipart_bytes_min=6 * MIB, part_bytes=5 * MIB)
_QUICK = OperationLatency(p50_ms=0.1, p99_ms=0.3)
_QUICK_MODEL = LatencyModel(put=_QUICK, get=_QUICK, head=_QUICK, list=_QUICK, delete=_QUICK)
_FAULTS = FaultModel(slow_down=0.1, answer_lost=0.1, timed_out=0.05, timeout_s=0.001)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto's S3 server on a free loopback port.

    It looks for the key and writes it in two steps, so it is kept to one request at a time: with more, two racing
    conditional PUTs can win, which is the very fault that the store's self-test is there to find.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def serialised(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with one_at_a_time:
            return list(app(environ, start_response))

    class KeepAliveHandler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    server = make_server("127.0.0.1", 0, serialised, threaded=True, request_handler=KeepAliveHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def s3_bucket(s3_endpoint: str, aws_keys: None) -> str:
    import boto3

    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket="bucket")
    return "bucket"


@pytest.fixture(params=["memory", "local", "s3", "wrapped"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ObjectStore]:
    """Each backend in turn, and a backend with slowness, faults, hedges and retries wrapped round it."""
    opened: ObjectStore
    if request.param == "memory":
        opened = MemoryStore(SystemClock())
    elif request.param == "local":
        opened = await LocalStore.open(tmp_path / "bucket")
    elif request.param == "s3":
        from raylog.storage.s3_store import S3Location, S3Store

        endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("s3_bucket")
        location = S3Location(bucket=bucket, prefix=f"some/prefix-{tmp_path.name}", endpoint=endpoint)
        opened = await S3Store.open(location, SMALL_PARTS)
    else:
        clock, rng = SystemClock(), Random(7)
        faulty = FaultyStore(MemoryStore(clock), clock=clock, rng=rng, latency=_QUICK_MODEL, faults=_FAULTS)
        limits = StoreLimits(backoff_s_initial=0.001, backoff_s_max=0.004)
        hedge_delay = HedgeDelay(min_s=0.0001, max_s=0.0002)
        opened = RetryingStore(faulty, clock=clock, rng=rng, limits=limits, hedge_delay=hedge_delay)
    yield opened
    await opened.close()


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would wait for a timer, its time jumps there."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing is scheduled and nobody can wake this loop"
        self.now += max(0.0, timeout)
        return super().select(0)


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopClock:
    """The running loop's time as all three clocks."""

    def wall_ms(self) -> int:
        return int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def boottime(self) -> float:
        return self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture
def loop_clock() -> LoopClock:
    return LoopClock()


@pytest.fixture
def run_virtual() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on a loop of its own where sleeping takes no time; tasks left behind fail the test."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        async def checked() -> Any:
            result = await main
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left behind: {left}"
            return result

        with asyncio.Runner(loop_factory=_VirtualTimeLoop) as runner:
            return runner.run(checked())

    return run
