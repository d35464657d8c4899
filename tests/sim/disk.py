"""A leader's WAL folder on a simulated volume: what was written and not synced is in the page cache.

- The page cache outlives a process (kill -9), not the machine (power loss): then any part of what was not synced may be gone,
  and of what is there, any part may be torn.
- On a shared mount (NFS) other machines see nothing of it before the sync, and what a dead process left may arrive later.
- Blocking work of a process runs in one piece after a delay. Power may fail between any two of its calls, and the work of
  another process on the same folder may come between them: a taker between a sync and the look at the fence.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from raylog.storage.wal_disk import aside
from raylog.storage.wal_format import FENCE_BYTES
from tests.sim.loop import Process, SimLoop, this_process
from tests.sim.trace import Trace

_SECTOR_BYTES = 512
_WORK_S = (0.0002, 0.004)
_WORK_S_SELDOM = 0.5


class PowerLoss(BaseException):
    """The machine went off in the middle of a call."""


class _File:
    def __init__(self, size_bytes: int) -> None:
        self.synced = bytearray(size_bytes)
        self.cached = bytearray(size_bytes)
        self.unsynced: list[tuple[int, bytes]] = []
        """Positions and contents, in order."""

    def sync(self) -> None:
        for position, content in self.unsynced:
            self.cached[position : position + len(content)] = content
        self.unsynced.clear()
        self.synced[:] = self.cached

    def lose(self, rng: Random) -> None:
        """Each unsynced write survives whole, in part, or not at all."""
        for position, content in self.unsynced:
            for start in range(0, len(content), _SECTOR_BYTES):
                if rng.random() < 0.5:
                    part = content[start : start + _SECTOR_BYTES]
                    self.synced[position + start : position + start + len(part)] = part
        self.unsynced.clear()
        self.cached[:] = self.synced


class SimSegment:
    """See ``SegmentFile``."""

    def __init__(self, disk: "SimDisk", file: _File, name: str) -> None:
        self._disk = disk
        self._file = file
        self.name = name
        self.size_bytes = len(file.cached)

    def write(self, buffers: Sequence[Any], position: int) -> None:
        self._disk.call()
        content = b"".join(buffers)
        assert position + len(content) <= self.size_bytes
        if not self._disk.is_shared:
            self._file.cached[position : position + len(content)] = content
        self._file.unsynced.append((position, content))
        self._disk.call_between()

    def sync(self) -> None:
        self._disk.call()
        self._file.sync()
        self._disk.call_between()

    def read(self, position: int, length: int) -> bytes:
        self._disk.call()
        return bytes(self._file.cached[position : position + length])

    def close(self) -> None:
        """Nothing is held."""


class SimDisk:
    """See ``WalDisk``: one leader's folder, shared by all processes that ever are that leader."""

    def __init__(self, loop: SimLoop, rng: Random, trace: Trace, *, is_shared: bool) -> None:
        self.loop = loop
        self.rng = rng
        self.is_shared = is_shared
        self._trace = trace
        self._files: dict[str, _File] = {}
        self._aside: list[str] = []
        """Names before the renaming, of which the folder has not been synced since."""
        self._fence: bytearray | None = None
        self._calls_left: int | None = None
        self._works: list[_Work] = []
        self._depth = 0
        self.ambush: Callable[[Process], None] | None = None
        """Called with each process that takes the WAL over, when it is about to look at what is there."""
        self._slow_until = 0.0

    # What a process's storage code calls

    def exists(self) -> bool:
        self.call()
        return self._fence is not None

    def names(self) -> list[str]:
        self.call()
        if self.ambush is not None and (taker := this_process()) is not None:
            self.ambush(taker)
        return sorted(self._files)

    def create(self, name: str, size_bytes: int) -> SimSegment:
        self.call()
        if name in self._files:
            raise FileExistsError(name)
        self._files[name] = _File(size_bytes)
        return SimSegment(self, self._files[name], name)

    def open(self, name: str) -> SimSegment:
        self.call()
        if name not in self._files:
            raise FileNotFoundError(name)
        if not self.is_shared:
            self._files[name].sync()
        return SimSegment(self, self._files[name], name)

    def set_aside(self, names: Sequence[str]) -> None:
        for name in names:
            self.call()
            if name in self._files:
                self._files[aside(name)] = self._files.pop(name)
                self._aside.append(name)

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            self.call()
            self._files.pop(name, None)
        self._aside.clear()

    def read_fence(self) -> bytes:
        self.call()
        if self._fence is None:
            raise FileNotFoundError("fence")
        seen = bytes(self._fence)
        self.call_between()
        return seen

    def write_fence(self, position: int, mark: bytes) -> None:
        self.call()
        fence = self._fence = self._fence or bytearray(FENCE_BYTES)
        fence[position : position + len(mark)] = mark
        self.call_between()

    # What the world does to it

    def offload(self) -> "SimOffload":
        """For the process that asks."""
        process = this_process()
        assert process is not None
        return SimOffload(self, process)

    def stir(self, seconds: float) -> None:
        """Calls take long for a while, so that those of different processes overlap."""
        self._slow_until = self.loop.time() + seconds

    def delay_s(self) -> float:
        """How long a process's work waits for the disk."""
        rng = self.rng
        if self.loop.time() < self._slow_until:
            return rng.uniform(0, 0.03)
        return rng.uniform(*_WORK_S) + (rng.uniform(0, _WORK_S_SELDOM) if rng.random() < 0.01 else 0.0)

    def cut_off(self, process: Process, *, power_lost: bool) -> None:
        """The process ends, maybe in the middle of its work on this disk; its machine with it, or not."""
        for work in [work for work in self._works if work.process is process]:
            self._works.remove(work)
            if self.rng.random() < 0.5:
                self._calls_left = self.rng.randrange(6)
                try:
                    work.call()
                except (PowerLoss, Exception) as error:  # noqa: BLE001  (nobody is left to be told)
                    self._trace.event("cut-off", f"{process.name} {type(error).__name__}")
                self._calls_left = None
        if not power_lost:
            if self.is_shared:
                self.loop.later(self.rng.uniform(0, 2.0), self._arrive_late, list(self._files.values()))
            return
        for name in self._aside:
            if aside(name) in self._files and self.rng.random() < 0.5:
                self._files[name] = self._files.pop(aside(name))
        self._aside.clear()
        for file in self._files.values():
            file.lose(self.rng)

    def _arrive_late(self, files: list[_File]) -> None:
        """What the dead process's machine still had to write."""
        for file in files:
            if file.unsynced and self.rng.random() < 0.7:
                file.sync()

    def call(self) -> None:
        """One more call to the disk."""
        if self._calls_left is not None:
            if not self._calls_left:
                raise PowerLoss
            self._calls_left -= 1

    def call_between(self) -> None:
        """Another process's work may come right here."""
        if self._depth or self._calls_left is not None or not self._works or self.rng.random() < 0.5:
            return
        here = this_process()
        others = [work for work in self._works if work.process is not here and not work.process.is_paused]
        if others:
            self._depth += 1
            try:
                self.rng.choice(others).run()
            finally:
                self._depth -= 1

    def enter(self, work: "_Work") -> None:
        self._works.append(work)

    def leave(self, work: "_Work") -> bool:
        """False when it has been done, or cut off, already."""
        if work not in self._works:
            return False
        self._works.remove(work)
        return True


class _Work:
    def __init__(self, disk: SimDisk, process: Process, call: Callable[[], Any], done: "asyncio.Future[Any]") -> None:
        self._disk = disk
        self.process = process
        self.call = call
        self._done = done

    def run(self) -> None:
        if self.process.is_dead or not self._disk.leave(self):
            return
        result, error = None, None
        try:
            result = self.call()
        except Exception as caught:  # noqa: BLE001  (the caller's, as with a thread)
            error = caught
        delay_s = self._disk.rng.uniform(*_WORK_S)
        self._disk.loop.call_later(delay_s, self._answer, result, error, context=self.process.context())

    def _answer(self, result: Any, error: Exception | None) -> None:
        if self._done.done():
            return
        if error is not None:
            self._done.set_exception(error)
        else:
            self._done.set_result(result)


class SimOffload:
    """See ``Offload``."""

    def __init__(self, disk: SimDisk, process: Process) -> None:
        self._disk = disk
        self._process = process

    def __call__(self, work: Callable[[], Any], /) -> "asyncio.Future[Any]":
        loop = self._disk.loop
        done: asyncio.Future[Any] = loop.create_future()
        item = _Work(self._disk, self._process, work, done)
        self._disk.enter(item)
        loop.call_later(self._disk.delay_s(), item.run)
        return done

    def close(self) -> None:
        """No thread is held."""
