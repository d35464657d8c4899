"""Has an experiment's events happen at their times, each on a thread of its own, as some last."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from lab.experiment import Event
from lab.history.journal import Journal
from raylog.model.errors import RaylogError

_END_S_MAX = 180.0

Strike = Callable[[Event, Callable[[], None]], None]
"""Does an event; calls the function at the moment at which leaders stop without handing over. Raises RaylogError."""


class Striking:
    """Enter it when the load begins; leaving it waits for what has begun, and leaves out what has not."""

    def __init__(self, events: Sequence[Event], strike: Strike, journal: Journal, say: Callable[[str], None]) -> None:
        self._events = events
        self._strike = strike
        self._journal = journal
        self._say = say
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(event,), daemon=True) for event in events]

    def __enter__(self) -> Self:
        self._began = self._journal.now()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for event, thread in zip(self._events, self._threads, strict=True):
            thread.join(_END_S_MAX)
            if thread.is_alive():
                self._journal.oddity(f"'{event.label}' does not end")

    def _run(self, event: Event) -> None:
        if self._ended.wait(max(self._began + event.at_s - self._journal.now(), 0.0)):
            return
        at = self._journal.now()
        self._say(event.label)
        failure = ""
        blows: list[float] = []
        try:
            self._strike(event, lambda: blows.append(round(self._journal.now(), 3)))
        except (RaylogError, OSError) as error:
            failure = str(error)
            self._say(f"'{event.label}' failed: {failure}")
        self._journal.write(
            "struck",
            at=round(at, 3),
            ended=round(self._journal.now(), 3),
            kind=event.kind.value,
            label=event.label,
            blows=blows,
            failure=failure,
        )
