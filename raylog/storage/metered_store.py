"""Counts what goes to the bucket: requests by kind and outcome, bytes, time. Sits under the retries, so every attempt counts.

A listing counts once per thousand objects, as S3 bills it; a body that goes up in parts counts once. A part of a file that is
given for sending counts as the GET that another store would need for it.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from raylog.model.buffers import Buffer
from raylog.model.clock import Clock
from raylog.model.errors import AlreadyExistsError, NotFoundError, RetryError
from raylog.protocol.file_range import FileRange
from raylog.storage.object_store import ObjectMeta, ObjectStore, Priority

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LIST_PAGE = 1000


class StoreMetrics:
    """The store's metrics; one set per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "raylog_store_requests",
            "Requests to the bucket; outcome: ok, exists, not_found, retry, error, cancelled.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.bytes = Counter(
            "raylog_store_bytes", "Bytes of objects sent to and read from the bucket.", ("kind",), registry=registry
        )
        self.seconds = Histogram(
            "raylog_store_request_seconds",
            "Time that successful requests to the bucket take.",
            ("kind",),
            buckets=_BUCKETS_S,
            registry=registry,
        )


class MeteredStore:
    def __init__(self, inner: ObjectStore, *, clock: Clock, metrics: StoreMetrics) -> None:
        self._inner = inner
        self._clock = clock
        self._metrics = metrics
        self._file_ranges = metrics.requests.labels("get", "ok")
        self._file_bytes = metrics.bytes.labels("get")

    @property
    def url(self) -> str:
        return self._inner.url

    async def put(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.TAIL) -> None:
        with self._request("put", body):
            await self._inner.put(key, body, priority=priority)

    async def put_if_absent(self, key: str, body: Sequence[Buffer], *, priority: Priority = Priority.WAL) -> None:
        with self._request("put_if_absent", body):
            await self._inner.put_if_absent(key, body, priority=priority)

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, priority: Priority = Priority.TAIL
    ) -> bytes:
        with self._request("get"):
            content = await self._inner.get(key, start=start, length=length, priority=priority)
        self._metrics.bytes.labels("get").inc(len(content))
        return content

    @property
    def has_files(self) -> bool:
        return self._inner.has_files

    def file_range(self, key: str, start: int, length: int) -> FileRange | None:
        found = self._inner.file_range(key, start, length)
        if found is not None:
            self._file_ranges.inc()
            self._file_bytes.inc(length)
        return found

    async def get_tail(self, key: str, length: int, *, priority: Priority = Priority.TAIL) -> bytes:
        with self._request("get"):
            content = await self._inner.get_tail(key, length, priority=priority)
        self._metrics.bytes.labels("get").inc(len(content))
        return content

    async def head(self, key: str) -> ObjectMeta:
        with self._request("head"):
            return await self._inner.head(key)

    async def list(self, prefix: str, *, start_after: str = "") -> AsyncIterator[ObjectMeta]:
        found = 0
        outcome = "ok"
        try:
            async with aclosing(self._inner.list(prefix, start_after=start_after)) as objects:  # type: ignore[type-var]
                async for meta in objects:
                    found += 1
                    yield meta
        except RetryError:
            outcome = "retry"
            raise
        finally:
            # Pages that came whole, and the one that ended it.
            if pages := found // _LIST_PAGE:
                self._metrics.requests.labels("list", "ok").inc(pages)
            self._metrics.requests.labels("list", outcome).inc()

    async def delete(self, keys: Sequence[str]) -> None:
        with self._request("delete"):
            await self._inner.delete(keys)

    async def close(self) -> None:
        await self._inner.close()

    @contextmanager
    def _request(self, kind: str, body: Sequence[Buffer] = ()) -> Iterator[None]:
        started = self._clock.monotonic()
        outcome = "cancelled"
        try:
            yield
            outcome = "ok"
        except AlreadyExistsError:
            outcome = "exists"
            raise
        except NotFoundError:
            outcome = "not_found"
            raise
        except RetryError:
            outcome = "retry"
            raise
        except Exception:
            outcome = "error"
            raise
        finally:
            self._metrics.requests.labels(kind, outcome).inc()
            if body:
                self._metrics.bytes.labels(kind).inc(sum(len(memoryview(buffer).cast("B")) for buffer in body))
            if outcome == "ok":
                self._metrics.seconds.labels(kind).observe(self._clock.monotonic() - started)
