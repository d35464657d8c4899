"""``raylog drain``: a node is emptied under load, before it is taken away."""

import threading
from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.cluster_options import RayAddress
from raylog.cli.deployment import joined
from raylog.cli.options import Timeout
from raylog.cli.output import note
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError

if TYPE_CHECKING:
    from actors.joined_cluster import JoinedCluster

_LOOK_EVERY_S = 0.2


def drain(
    node: Annotated[str, typer.Argument(metavar="NODE", help="As 'raylog status --address' names it.")],
    address: RayAddress = "auto",
    cancel: Annotated[bool, typer.Option("--cancel", help="Let the node have its share again.")] = False,
    timeout: Timeout = 300,
) -> None:
    """Move all that a node leads to other nodes, send clients elsewhere, and wait until nothing of Raylog is left there.

    Clients go on meanwhile. The node gets nothing new until it has been away, or until --cancel. What Ray itself drains, or a
    provider takes away with a notice, is emptied without this command.
    """
    with joined(address) as cluster:
        cluster.drain(node, drain=not cancel)
        if cancel:
            note(f"{node} is not drained any more")
            return
        _wait(cluster, node, timeout)
    note(f"{node} is empty")


def _wait(cluster: "JoinedCluster", node: str, timeout_s: float) -> None:
    clock = SystemClock()
    deadline_s = clock.monotonic() + timeout_s
    pause = threading.Event()
    while left := _what_is_left(cluster, node):
        if clock.monotonic() > deadline_s:
            raise RetryError(
                f"The drain goes on, but after {timeout_s:g} s there was still {left}: 'raylog status --address' shows it."
            )
        pause.wait(_LOOK_EVERY_S)


def _what_is_left(cluster: "JoinedCluster", node: str) -> str:
    try:
        status = cluster.status()
    except RetryError:  # the controller goes on with it when it is back
        return "something"
    partitions = sum(leader["partitions"] for leader in status["leaders"] if leader["node"] == node)
    if partitions:
        return f"{partitions} partitions led on {node}"
    if any(broker["node"] == node for broker in status["brokers"]):
        return f"the broker of {node}"
    return ""
