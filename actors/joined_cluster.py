"""Raylog on a Ray cluster that runs already: its roles are detached actors on all of its nodes, and outlive their starter."""

import contextlib
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.deployment import (
    Check,
    Step,
    check_store,
    close_roles,
    controller_status,
    first_line,
    start_controller,
    wait_until_serving,
)
from actors.readiness import clients_are_served
from actors.settings import CONTROLLER_NAME, GATEWAY_PREFIX, NAMESPACE, prepare_environment
from raylog.model.clock import Clock
from raylog.model.config import ClusterConfig, HostPort
from raylog.model.errors import AlreadyExistsError, InvalidError, NotFoundError, RetryError

if TYPE_CHECKING:
    from gateway.zone_traffic import ZoneBytes

_POLL_S = 0.2
_CONNECT_S_MAX = 5.0
_ORDER_S_MAX = 10.0
_ASK_S_MAX = 2.0


class JoinedCluster:
    """``connect`` first; ``leave`` in the end, which leaves Raylog as it is."""

    def __init__(self, address: str, clock: Clock) -> None:
        """``address`` is the GCS's host:port, or ``auto`` for the Ray that runs on this node."""
        self._address = address
        self._clock = clock

    def connect(self) -> None:
        """Raises InvalidError when no Ray is there."""
        prepare_environment(os.environ)
        import ray

        try:
            self._require_listener()
            ray.init(address=self._address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise InvalidError(
                f"There is no Ray at '{self._address}' that can be joined ({first_line(error)}): start one with 'ray start', or "
                "say where it is with --address HOST:PORT."
            ) from error

    def _require_listener(self) -> None:
        """Ray itself would try for a minute. Raises OSError when nobody listens there, InvalidError for what is no address."""
        if self._address != "auto":
            at = HostPort.parse(self._address)
            socket.create_connection((at.host, at.port), _CONNECT_S_MAX).close()

    def start(self, config: ClusterConfig, step: Step, check: Check) -> tuple[ClusterConfig, list[str]]:
        """Start Raylog; returns once every node serves clients: the configuration as the roles have it, and what clients
        connect to.

        Raises AlreadyExistsError if it runs there already, InvalidError (input to mend), CorruptError (data to mend) or
        RetryError (not ready in time).
        """
        self.require_absent()
        resolved = replace(config, run_dir=config.run_dir or tempfile.mkdtemp(prefix="raylog-"))
        Path(resolved.run_dir).mkdir(parents=True, exist_ok=True)
        step(f"checking the bucket {resolved.store}")
        check_store(resolved)
        check()
        step("starting the controller, and gateways and leaders on every node")
        controller = start_controller(resolved, is_alone=False)
        return resolved, self._wait_until_serving(controller, resolved, check)

    @property
    def is_deployed(self) -> bool:
        """Raylog runs here already."""
        return self._controller() is not None

    def require_absent(self) -> None:
        """Raises AlreadyExistsError if Raylog runs here already."""
        if self.is_deployed:
            raise AlreadyExistsError(
                "Raylog runs on this Ray already: 'raylog status --address' shows it, and 'raylog stop --address' ends it."
            )

    def _wait_until_serving(self, controller: Any, config: ClusterConfig, check: Check) -> list[str]:
        status = wait_until_serving(
            controller,
            self._clock,
            check,
            lambda status: all(
                clients_are_served(HostPort.parse(node["address"])) for node in status["nodes"] if not node["draining"]
            ),
            _POLL_S,
            config.run_dir,
            "of each node say why, and 'raylog stop' ends it",
        )
        return [str(broker["address"]) for broker in status["brokers"]]

    def status(self) -> dict[str, Any]:
        """What the controller says. Raises NotFoundError if Raylog does not run here, RetryError while it does not answer."""
        self.check()
        status = controller_status(self._controller())
        if not status:
            raise _restarting()
        return status

    def zone_bytes(self) -> "list[ZoneBytes]":
        """What went over the gateways' connections, by zones, since each started; of those that answer."""
        import ray
        from ray.util import list_named_actors

        from gateway.zone_traffic import added_up

        found: list[ZoneBytes] = []
        asked: list[Any] = []
        for name in list_named_actors():
            if name.startswith(GATEWAY_PREFIX):
                with contextlib.suppress(ValueError):  # it has ended since
                    asked.append(ray.get_actor(name, NAMESPACE).zone_bytes.remote())
        answered, _ = ray.wait(asked, num_returns=len(asked), timeout=_ASK_S_MAX) if asked else ([], [])
        for answer in answered:
            with contextlib.suppress(ray.exceptions.RayError):
                found += ray.get(answer)
        return added_up(found)

    def drain(self, node: str, *, drain: bool) -> None:
        """Have a node emptied, or no more so; may be repeated. Raises InvalidError where that cannot be, else as ``status``."""
        import ray

        self.check()
        try:
            ordered = self._controller().call.remote("drain_node", (node,), {"drain": drain})
            outcome = ray.get(ordered, timeout=_ORDER_S_MAX)
        except ray.exceptions.RayError as error:
            raise _restarting() from error
        outcome.unwrap()

    def check(self) -> None:
        """Raises NotFoundError when somebody else has ended Raylog here."""
        if self._controller() is None:
            raise _not_here()

    def stop(self, step: Step) -> None:
        """Close and end every role, gracefully; what is not there is passed over."""
        close_roles(step)

    def leave(self) -> None:
        import ray

        ray.shutdown()

    def _controller(self) -> Any:
        import ray

        try:
            return ray.get_actor(CONTROLLER_NAME, NAMESPACE)
        except ValueError:
            return None


def _not_here() -> NotFoundError:
    return NotFoundError("Raylog does not run on this Ray: start it with 'raylog start --address ADDRESS'.")


def _restarting() -> RetryError:
    return RetryError("Raylog's controller does not answer just now: it is being restarted, so try again.")
