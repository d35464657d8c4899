"""Looks at the cluster once a second while it is loaded, and writes what it sees into the journal."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lab.counters import Counts
from lab.history.journal import Journal
from raylog.model.errors import RaylogError

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A cluster at a moment, as its own answers to clients show it."""

    brokers: int
    """Nodes that clients are sent to."""
    leaders: int
    """Those that lead something."""
    led: Mapping[str, int]
    """Partitions by the node of their leader."""
    moving: int
    """Partitions on their way."""


Observe = Callable[[str], Seen]
"""Asks the cluster at these addresses. Raises RaylogError while it does not answer."""
Count = Callable[[], Counts]
"""Raises OSError while a page does not answer."""


class Watch:
    """Enter it to start looking. A look that gets no answer leaves its values out."""

    def __init__(
        self, journal: Journal, bootstrap: str, observe: Observe, count: Count, on_look: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._bootstrap = bootstrap
        self._observe = observe
        self._count = count
        self._on_look = on_look
        self.seen: Seen | None = None
        """The newest; None while there is no answer."""
        self.counts: Counts = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        look_at = self._journal.now()
        while not self._ended.wait(max(look_at - self._journal.now(), 0.0)):
            self._look()
            look_at = max(look_at + LOOK_EVERY_S, self._journal.now())
        self._look()  # so that the last requests are in

    def _look(self) -> None:
        at = self._journal.now()
        values: dict[str, object] = {}
        try:
            self.counts = self._count()
            values["requests"] = dict(self.counts)
        except OSError:
            pass  # counted again at the next look
        try:
            self.seen = self._observe(self._bootstrap)
            values |= {
                "brokers": self.seen.brokers,
                "leaders": self.seen.leaders,
                "led": dict(self.seen.led),
                "moving": self.seen.moving,
            }
        except RaylogError:
            self.seen = None
        self._journal.write("look", at=round(at, 3), **values)
        self._on_look()
