"""Produce past the zones: batches for leaders in other zones go into the bucket, and only references to them to the leader.

- What comes for some milliseconds becomes one upload, by the flush policy of the object WAL: at once when nothing was put for an
  interval, then one for each interval, or for each ``max_bytes``.
- Uploads are put side by side; their references leave in the order in which the batches came, as do all other Produce requests to
  a leader while batches for it are on their way: a connection's requests reach each leader in their order.
- The bucket being away is waited for. A request that is not answered in its time fails with RetryError, and may still happen.
- Bytes count as under way to their leader from the first moment on: its budget is what bounds all this.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gateway.router import Router
from raylog.model.buffers import Buffer
from raylog.model.clock import Clock, Random
from raylog.model.errors import AlreadyExistsError, RetryError, StaleRouteError
from raylog.model.ids import LeaderId
from raylog.model.logs import RoleLogger, fields
from raylog.storage.keys import upload_key
from raylog.storage.object_store import ObjectStore, Priority
from raylog.storage.reference import encode_reference
from raylog.storage.slot_format import WRITER_ID_BYTES
from raylog.storage.upload import UploadBatch, encode_upload, upload_number
from raylog.storage.wal import FlushPolicy

_UPLOADS_IN_FLIGHT_MAX: Final = 8
_RETRY_S: Final = (0.05, 5.0)
"""The pause before an upload is put again: at first, and at most."""

Forward = Callable[[Sequence[bytes]], asyncio.Future[Buffer]]
"""Sends a request with these references in the place of its batches. Raises StaleRouteError."""


class _Entry:
    """A request to one leader."""

    __slots__ = ("answer", "batches", "forward", "leader_id", "size_bytes", "timer")

    def __init__(
        self,
        leader_id: LeaderId,
        batches: Sequence[UploadBatch],
        forward: Forward,
        answer: asyncio.Future[Buffer],
        timer: asyncio.TimerHandle,
    ) -> None:
        self.leader_id = leader_id
        self.batches = batches
        self.forward = forward
        self.answer = answer
        self.timer = timer
        self.size_bytes = sum(batch.header.size_bytes for batch in batches)


class _Upload:
    """The requests that wait for one object, and the references to their batches once it is there."""

    __slots__ = ("entries", "references", "size_bytes")

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.size_bytes = 0
        self.references: list[bytes] | None = None


class Uploader:
    """One per gateway; used on its event loop. ``close`` in the end."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        router: Router,
        policy: FlushPolicy,
        clock: Clock,
        rng: Random,
        log: RoleLogger,
        on_put: Callable[[str, Sequence[Buffer]], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """``on_put`` is given each upload's key and content. ``on_fatal`` hears of what no patience helps against, such as a
        bucket that refuses the credentials."""
        self._store = store
        self._router = router
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._log = log
        self._on_put = on_put
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._current = _Upload()
        self._under_way: deque[_Upload] = deque()
        self._waiting: Counter[LeaderId] = Counter()
        """Requests that wait here, of leaders that have any."""
        self._puts: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._first_entry_s = 0.0
        self._last_cut_s = -math.inf

    def is_busy(self, leader_id: LeaderId) -> bool:
        """Whether requests for the leader wait here, so that later ones have to wait behind them."""
        return leader_id in self._waiting

    def submit(
        self, leader_id: LeaderId, batches: Sequence[UploadBatch], forward: Forward, *, timeout_s: float
    ) -> asyncio.Future[Buffer]:
        """Have ``forward`` called with references to ``batches``, once they are in the bucket.

        The future gives its answer's frame, or StaleRouteError or RetryError.
        """
        answer: asyncio.Future[Buffer] = self._loop.create_future()
        answer.add_done_callback(_mark_retrieved)
        entry = _Entry(leader_id, batches, forward, answer, self._loop.call_later(timeout_s, _give_up, answer))
        self._waiting[leader_id] += 1
        self._router.budget(leader_id).take(entry.size_bytes)
        if not self._current.entries:
            self._first_entry_s = self._clock.monotonic()
        self._current.entries.append(entry)
        self._current.size_bytes += entry.size_bytes
        if self._timer is None:
            self._timer = self._loop.call_soon(self._tick)
        elif self._current.size_bytes >= self._policy.max_bytes:
            self._tick()
        return answer

    async def close(self) -> None:
        """Fail what waits. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        for put in self._puts:
            put.cancel()
        await asyncio.gather(*self._puts, return_exceptions=True)
        error = StaleRouteError("The gateway closes.")
        for upload in (*self._under_way, self._current):
            for entry in upload.entries:
                self._leave(entry)
                _fail(entry.answer, error)
        self._under_way.clear()
        self._current = _Upload()

    def _tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._current.entries or len(self._under_way) >= _UPLOADS_IN_FLIGHT_MAX:
            return  # an upload whose references have left calls again
        now = self._clock.monotonic()
        delay_s = self._policy.cut_at_s(self._last_cut_s, self._first_entry_s) - now
        if delay_s > 0 and self._current.size_bytes < self._policy.max_bytes:
            self._timer = self._loop.call_later(delay_s, self._tick)
            return
        upload, self._current = self._current, _Upload()
        self._last_cut_s = now
        self._under_way.append(upload)
        put = self._loop.create_task(self._put(upload))
        self._puts.add(put)
        put.add_done_callback(self._put_ended)

    async def _put(self, upload: _Upload) -> None:
        """As often as it takes. A put whose answer was lost leaves an object that nobody refers to, for garbage collection."""
        batches = [batch for entry in upload.entries for batch in entry.batches]
        pause_s = _RETRY_S[0]
        while batches:
            number = upload_number(self._clock.wall_ms(), self._rng)
            content, positions = encode_upload(number, self._rng.randbytes(WRITER_ID_BYTES), batches)
            try:
                await self._store.put_if_absent(upload_key(number), content, priority=Priority.WAL)
            except AlreadyExistsError:
                continue
            except RetryError as error:
                self._log.warning("the bucket takes no uploads, trying again", extra=fields(error=error))
                await self._clock.sleep(pause_s * self._rng.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, _RETRY_S[1])
                continue
            self._on_put(upload_key(number), content)
            upload.references = [
                encode_reference(number, position, batch.records)
                for position, batch in zip(positions, batches, strict=True)
            ]
            break
        else:
            upload.references = []
        self._send_references()

    def _send_references(self) -> None:
        while self._under_way and (references := self._under_way[0].references) is not None:
            upload = self._under_way.popleft()
            start = 0
            for entry in upload.entries:
                end = start + len(entry.batches)
                self._send(entry, references[start:end])
                start = end
        if self._timer is None:
            self._tick()

    def _send(self, entry: _Entry, references: Sequence[bytes]) -> None:
        self._leave(entry)
        try:
            answered = entry.forward(references)
        except StaleRouteError as error:
            _fail(entry.answer, error)
        else:
            answered.add_done_callback(partial(_pass_on, entry.answer))

    def _leave(self, entry: _Entry) -> None:
        entry.timer.cancel()
        self._router.budget(entry.leader_id).give_back(entry.size_bytes)
        self._waiting[entry.leader_id] -= 1
        if not self._waiting[entry.leader_id]:
            del self._waiting[entry.leader_id]

    def _put_ended(self, put: asyncio.Task[None]) -> None:
        self._puts.discard(put)
        if not put.cancelled() and (error := put.exception()) is not None:
            self._on_fatal(error)


def _give_up(answer: asyncio.Future[Buffer]) -> None:
    _fail(answer, RetryError("The bucket did not take the records in time."))


def _fail(answer: asyncio.Future[Buffer], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _pass_on(answer: asyncio.Future[Buffer], answered: asyncio.Future[Buffer]) -> None:
    """Also when nobody waits any more: an error that nobody has looked at is told of as a fault of ours."""
    if answered.cancelled():
        return
    error = answered.exception()
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(answered.result())


def _mark_retrieved(answer: asyncio.Future[Buffer]) -> None:
    """The client may be gone; what became of its request is no news then."""
    if not answer.cancelled():
        answer.exception()
