"""A Raylog that runs already: it is loaded and looked at by its Kafka port, and asked for drains by ``raylog drain``."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from lab import counters
from lab.command import raylog
from lab.experiment import Event, Kind, RunningCluster
from raylog.model.errors import InvalidError

_DRAIN_S_MAX = 600


class RunningLab:
    """The same as ``lab.local_cluster.LocalLab``; entering and leaving it changes nothing."""

    def __init__(self, spec: RunningCluster) -> None:
        self._spec = spec

    @property
    def bootstrap(self) -> str:
        return self._spec.bootstrap

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def cut_short(self) -> None:
        """A drain that was asked for goes on without the run."""

    def counts(self) -> counters.Counts:
        """Raises OSError while a node's page does not answer."""
        return counters.from_pages(self._spec.metrics)

    def strike(self, event: Event, _blow: Callable[[], None]) -> None:
        """Returns when it has been done, by which no leader stops without handing over. Raises RaylogError."""
        if event.kind is not Kind.DRAIN:
            raise InvalidError(f"'{event.label}' cannot be done to a running cluster.")
        raylog("drain", event.node, "--address", self._spec.address, "--timeout", str(_DRAIN_S_MAX))
