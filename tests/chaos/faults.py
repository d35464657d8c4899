"""What is done to the servers, each kind by its name: SIGKILL, or SIGSTOP and SIGCONT some seconds later."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import psutil

from lab.history.journal import Journal
from tests.chaos.machine import Machine

_ROLES = {"leader": "LeaderActor", "gateway": "GatewayActor", "controller": "ControllerActor"}
_RAY = {"raylet": "raylet/raylet", "GCS": "gcs/gcs_server"}
_PAUSE_S = (0.5, 8.0)
_RESTART_PAUSE_S = (0.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind. ``is_heavy``: the whole server is started again, so once in a phase is enough."""

    name: str
    strike: Callable[[], str]
    """Does it and says to whom; an empty sentence where nobody was there."""
    is_heavy: bool = False


class Faults:
    """The kinds that a run can choose from, and what is stopped at the moment."""

    def __init__(self, machine: Machine, s3: psutil.Process | None, journal: Journal, rng: Random) -> None:
        self._machine = machine
        self._journal = journal
        self._rng = rng
        self._timers: list[threading.Timer] = []
        self.kinds = self._make(s3)

    def strike(self, fault: Fault) -> str:
        """Do it, and say whom it hit; nothing is written where nobody was there."""
        at = self._journal.now()
        hit = fault.strike()
        if hit:
            self._journal.write("fault", kind=fault.name, at=at, hit=hit)
        return hit

    def heal(self) -> None:
        """Wait until all that is stopped goes on, and the server is there."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()
        self._machine.wait_until_up()

    def _make(self, s3: psutil.Process | None) -> list[Fault]:
        kinds = [Fault(name="kill everything", strike=self._kill_everything, is_heavy=True)]
        for title, name in _ROLES.items():
            kinds.append(Fault(name=f"kill {title}", strike=self._killer(name)))
            kinds.append(Fault(name=f"stop {title}", strike=self._stopper(name)))
        kinds.append(Fault(name="kill all leaders", strike=self._killer(_ROLES["leader"], everyone=True)))
        for title, name in _RAY.items():
            kinds.append(Fault(name=f"kill {title}", strike=self._killer(name), is_heavy=True))
            kinds.append(Fault(name=f"stop {title}", strike=self._stopper(name), is_heavy=True))
        if s3 is not None:
            kinds.append(Fault(name="stop S3", strike=lambda: self._stop([s3])))
        return kinds

    def _kill_everything(self) -> str:
        self._machine.kill_everything(self._rng.uniform(*_RESTART_PAUSE_S))
        return "all"

    def _killer(self, name: str, *, everyone: bool = False) -> Callable[[], str]:
        def strike() -> str:
            found = self._machine.processes(name)
            chosen = found if everyone else self._one_of(found)
            for process in chosen:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            return _pids(chosen)

        return strike

    def _stopper(self, name: str) -> Callable[[], str]:
        return lambda: self._stop(self._one_of(self._machine.processes(name)))

    def _one_of(self, found: Sequence[psutil.Process]) -> list[psutil.Process]:
        return [self._rng.choice(found)] if found else []

    def _stop(self, processes: Sequence[psutil.Process]) -> str:
        seconds = self._rng.uniform(*_PAUSE_S)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
            timer = threading.Timer(seconds, _resume, [process])
            timer.start()
            self._timers.append(timer)
        return f"{_pids(processes)} for {seconds:.1f} s" if processes else ""


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


def _pids(processes: Sequence[psutil.Process]) -> str:
    return ", ".join(str(process.pid) for process in processes)
