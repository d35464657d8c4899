"""Tells the controller which nodes Ray has, whenever that changes."""

from collections.abc import Sequence
from typing import Protocol

from actors.nodes import RayNodes
from controller.nodes import Node
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.logs import RoleLogger, fields

LOOK_EVERY_S = 1.0
"""Ray itself takes some seconds to see that a node has ended."""


class SeesNodes(Protocol):
    """The part of ``controller.controller.Controller`` that is told."""

    async def see_nodes(self, nodes: Sequence[Node]) -> None: ...


async def follow_nodes(controller: SeesNodes, nodes: RayNodes, clock: Clock, log: RoleLogger) -> None:
    """Until cancelled. While Ray does not answer, all stays as it was. Raises RetryError once the controller serves no more."""
    while True:
        await clock.sleep(LOOK_EVERY_S)
        try:
            changed = await nodes.look()
        except RetryError as error:
            log.warning("Ray's nodes cannot be looked at, trying again", extra=fields(error=error))
            continue
        if changed:
            log.info("Ray's nodes have changed", extra=fields(nodes=[node.node.name for node in nodes.present]))
            await controller.see_nodes([node.node for node in nodes.present])
