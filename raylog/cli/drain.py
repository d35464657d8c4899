"""``raylog drain``: a node is emptied under load, before it is taken away."""

import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raylog.cli.cluster_options import RayAddress
from raylog.cli.deployment import joined
from raylog.cli.options import Json, Timeout
from raylog.cli.output import note, print_json
from raylog.model.clock import Clock, SystemClock
from raylog.model.errors import InvalidError, RetryError

if TYPE_CHECKING:
    from actors.joined_cluster import JoinedCluster

_LOOK_EVERY_S = 0.2


def drain(
    node: Annotated[str, typer.Argument(metavar="NODE", help="As 'raylog status --address' names it.")],
    address: RayAddress = "auto",
    undo: Annotated[bool, typer.Option("--undo", help="Let the node have its share again.")] = False,
    timeout: Timeout = 300,
    json: Json = False,
) -> None:
    """Move all that a node leads to other nodes, send clients there, and wait until nothing of Raylog serves on it.

    Clients go on meanwhile. The node gets nothing new until it has been away, or until --undo. What Ray itself drains, or a
    provider takes away with a notice, is emptied without this command.
    """
    clock = SystemClock()
    with joined(address) as cluster:
        waiter = _Waiter(cluster, node, clock, clock.monotonic() + timeout)
        waiter.order(drain=not undo)
        if not undo:
            waiter.wait()
    if json:
        print_json({"node": node, "drained": not undo})
    else:
        note(f"{node} gets its share again" if undo else f"{node} is drained: it can be taken away")


class _Waiter:
    """While the controller is being restarted it is asked again: what was ordered is durable, and may be ordered twice."""

    def __init__(self, cluster: "JoinedCluster", node: str, clock: Clock, deadline_s: float) -> None:
        self._cluster = cluster
        self._node = node
        self._clock = clock
        self._deadline_s = deadline_s
        self._pause = threading.Event()
        self._said = ""

    def order(self, *, drain: bool) -> None:
        """Raises InvalidError for what cannot be drained, RetryError when the controller does not answer in time."""
        while True:
            try:
                return self._cluster.drain(self._node, drain=drain)
            except RetryError:
                if self._is_late():
                    raise
            self._pause.wait(_LOOK_EVERY_S)

    def wait(self) -> None:
        """Until the drain is over, telling how far it is. Raises InvalidError when it will not be, RetryError after too long."""
        while left := self._left():
            if left != self._said:
                note(f"{self._node}: {left}")
                self._said = left
            if self._is_late():
                raise RetryError(
                    f"The drain of {self._node} is not over yet and goes on without this command: wait for it by the same "
                    f"command again, or take it back by 'raylog drain {self._node} --undo'."
                )
            self._pause.wait(_LOOK_EVERY_S)

    def _left(self) -> str:
        """What there is still to do; empty when the node is drained, or gone."""
        try:
            status = self._cluster.status()
        except RetryError:
            return "the controller is being restarted, and goes on then"
        found: list[dict[str, Any]] = [node for node in status["nodes"] if node["node"] == self._node]
        return what_is_left(found[0]) if found else ""

    def _is_late(self) -> bool:
        return self._clock.monotonic() > self._deadline_s


def what_is_left(node: dict[str, Any]) -> str:
    """Of a node of the controller's status, in words; empty when it is drained. Raises InvalidError when it will not be."""
    name, drain = node["node"], node["drain"]
    if drain is None:
        raise InvalidError(
            f"Node '{name}' is not drained any more: somebody has taken that back, or no other node is left. Start another node "
            "and drain it again."
        )
    if drain["is_over"]:
        return ""
    staying = sum(drain["staying"].values())
    if staying and staying == drain["partitions"]:
        classes = ", ".join(f"'{wal_class}'" for wal_class in drain["staying"])
        raise InvalidError(
            f"Node '{name}' keeps {staying} partitions of the WAL class {classes}, which no other node takes: start one that "
            f"does, and the drain goes on, or take it back by 'raylog drain {name} --undo'."
        )
    if drain["partitions"]:
        return f"{drain['partitions']} partitions are to move"
    return "nothing is led there any more, its gateways close"
