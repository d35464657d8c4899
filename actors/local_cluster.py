"""``raylog serve``: an embedded one-node Ray cluster with every role in it, for as long as the calling process lives.

Ray's processes share the caller's fate (they end when it does, however it ends), so a killed ``serve`` leaves nothing behind that
could answer on its port.
"""

import os
import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from actors.deployment import (
    CLOSE_TIMEOUT_S,
    POLL_S,
    Check,
    Step,
    check_store,
    close_roles,
    first_line,
    pause,
    start_controller,
    wait_until_serving,
)
from actors.embedded_ray import check_processes, end_processes
from actors.readiness import clients_are_served
from actors.settings import NAMESPACE, keep_others_out, prepare_environment
from actors.this_node import NODE_LABEL
from raylog.model.clock import Clock
from raylog.model.config import ClusterConfig, HostPort
from raylog.model.errors import InvalidError, RetryError

_OBJECT_STORE_BYTES = 80 << 20  # Ray's smallest is 75 MiB; nothing of Raylog's travels through it
_NODE_NAME = "local"
"""An address would change with the network, and the broker id with it."""


class LocalCluster:
    """Raylog on an embedded Ray. ``start`` returns once clients can connect; ``stop`` closes every role gracefully."""

    def __init__(self, config: ClusterConfig, clock: Clock) -> None:
        self._clock = clock
        self.config = replace(
            config,
            leaders=config.leaders_on(_cpus()),
            gateways=config.gateways_on(_cpus()),
            run_dir=config.run_dir or tempfile.mkdtemp(prefix="raylog-"),
        )
        self._controller: Any = None

    def start(self, step: Step, check: Check) -> None:
        """Raises InvalidError (input to mend), CorruptError (data to mend) or RetryError (not ready in time), each with one
        readable sentence.

        However it ends, ``stop`` is to be called after it.
        """
        listen = HostPort.parse(self.config.listen)
        _require_free(listen, "--listen")
        if self.config.metrics:
            _require_free(HostPort.parse(self.config.metrics), "--metrics")
        Path(self.config.run_dir).mkdir(parents=True, exist_ok=True)
        step(f"checking the bucket {self.config.store}")
        checked = _begin(lambda: check_store(self.config), "store-check")
        step("starting Ray")
        self._start_ray(check)
        while not checked.done():
            check()
            pause(POLL_S)
        checked.result()
        check()
        step("starting the controller, the gateways and the leaders")
        self._controller = start_controller(self.config, is_alone=True)
        self._wait_until_serving(listen, check)

    def _start_ray(self, check: Check) -> None:
        prepare_environment(os.environ, on_s3=urlsplit(self.config.store).scheme == "s3")
        keep_others_out(os.environ)
        import ray

        check()
        try:
            self._init_ray(ray)
        except Exception as error:
            raise RetryError(
                f"Ray did not start here ({first_line(error)}): try again, perhaps when the machine has less to do; "
                "its logs say more (session_latest/logs below /tmp/ray, or RAY_TMPDIR)."
            ) from error
        # The log monitor only feeds drivers that print workers' output, the other one only scales clusters that can grow;
        # together they cost 160 MB and more than 1 % of a core.
        node: Any = ray._private.worker._global_node
        node.kill_log_monitor(check_alive=False)
        node.kill_monitor(check_alive=False)
        check()

    @staticmethod
    def _init_ray(ray: Any) -> None:
        ray.init(
            address="local",  # else Ray looks for one that runs on this machine, whoever's it is, and would be part of that
            num_cpus=_cpus(),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            configure_logging=False,
            namespace=NAMESPACE,
            labels={NODE_LABEL: os.environ.get("RAYLOG_NODE") or _NODE_NAME},
            _node_ip_address="127.0.0.1",
        )

    def _wait_until_serving(self, listen: HostPort, check: Check) -> None:
        """Ready means: every leader is registered and leads what it must, and a gateway shows so to a client."""

        def check_both() -> None:
            check()
            self.check()

        wait_until_serving(
            self._controller,
            self._clock,
            check_both,
            lambda _: clients_are_served(listen),
            POLL_S,
            self.config.run_dir,
            "say why",
        )

    def check(self) -> None:
        """Raises RetryError, for a person, when the embedded Ray has lost a process that it cannot do without."""
        check_processes()

    def stop(self, step: Step) -> None:
        """Close gateways, then leaders (which flush to the bucket), then the controller, then Ray.

        What had not started yet is ended as it is; an interruption (KeyboardInterrupt) ends all at once. When Ray itself has
        lost a process nobody can be asked any more: all is ended as a power cut would end it.
        """
        import ray

        try:
            self.check()
            if ray.is_initialized():
                close_roles(step)
        except RetryError:
            step("ending all processes")
            listen = HostPort.parse(self.config.listen)
            end_processes(lambda: _is_free(listen), lambda: pause(POLL_S), int(CLOSE_TIMEOUT_S / POLL_S))
        finally:
            ray.shutdown()


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


def _is_free(address: HostPort) -> bool:
    try:
        _require_free(address, "")
    except InvalidError:
        return False
    return True


def _require_free(address: HostPort, option: str) -> None:
    """Gateways share their port, so a second server would not notice the first: this does."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise InvalidError(
                f"The address {address} cannot be used ({error.strerror}): stop what listens there or choose another "
                f"with {option}."
            ) from error


def _begin(work: Callable[[], None], name: str) -> "Future[None]":
    """Do the work in a thread that no exit of the process waits for."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (whoever waits for it gets it)
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done
