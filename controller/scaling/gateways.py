"""What gateways have told of themselves. In memory alone, as with leaders' loads."""

from collections.abc import Collection

from raylog.model.clock import Clock

_KEPT_REPORTS = 3
"""A gateway that has not told for so many intervals may have ended."""


class GatewayBook:
    """Times are of the monotonic clock."""

    def __init__(self, clock: Clock, report_s: float) -> None:
        """Gateways tell each ``report_s``."""
        self._clock = clock
        self._kept_s = _KEPT_REPORTS * report_s
        self._told: dict[str, dict[int, tuple[float, float]]] = {}

    def report(self, node: str, index: int, cpu: float) -> None:
        self._told.setdefault(node, {})[index] = (cpu, self._clock.monotonic() + self._kept_s)

    def forget_all_but(self, nodes: Collection[str]) -> None:
        """Of nodes that are gone, what their gateways told."""
        self._told = {node: told for node, told in self._told.items() if node in nodes}

    def on(self, node: str) -> list[float]:
        """What each of the node's gateways takes of a processor, of those that have told lately."""
        now_s = self._clock.monotonic()
        return [cpu for cpu, until_s in self._told.get(node, {}).values() if now_s < until_s]
