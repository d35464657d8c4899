"""A role's own event loop: uvloop on a thread of its own, so that Ray's calls and the role's sockets never wait for each other.

Ray's actor methods hand coroutines over with ``call``; the role's life is one coroutine given to ``run_role``, and when that ends
(fenced, or a breach of an invariant) the process ends with it: Ray starts a new one, which opens its log one epoch up.
"""

import asyncio
import gc
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from actors.lasting_errors import LastingError, tell_error
from actors.parent import end_with_parent
from raylog.model.clock import SystemClock
from raylog.model.errors import FencedError
from raylog.model.logs import fields

T = TypeVar("T")

EXIT_FENCED = 70
EXIT_FAILED = 71

EARLY_S = 15.0
PAUSE_S = 3.0
"""A role that ends so early in its process's life keeps the process, serving nothing, so long: a lasting reason is not met
several times a second for ever."""

_SWITCH_INTERVAL_S = 0.0005
"""How long a thread that wants the interpreter waits before the loop's thread must give it up. A commit or a slot that a thread
writes takes the interpreter back after each system call: at the default of 5 ms that is what it mostly waits for."""
_YOUNG_OBJECTS = 20_000
"""Allocations between two collections. Requests leave hardly a cycle behind, but thousands of them may be under way."""


class LoopThread:
    """One thread that runs one uvloop for as long as the process lives."""

    def __init__(self, name: str) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        gc.set_threshold(_YOUNG_OBJECTS)
        self._loop = uvloop.new_event_loop()
        self._life: asyncio.Future[None] | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on this loop and await its result from another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def call_blocking(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on this loop while the calling thread, which is not the loop's, waits."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def run_role(
        self, life: Coroutine[Any, Any, None], run_dir: Path, log: logging.LoggerAdapter[logging.Logger]
    ) -> None:
        """Start the coroutine that lasts as long as the role does; when it ends, or the raylet does, the process exits."""

        end_with_parent(log)
        clock = SystemClock()
        began_s = clock.monotonic()

        async def guarded() -> None:
            code = EXIT_FAILED
            try:
                await life
                return
            except FencedError as error:
                log.warning("fenced: another process has taken over, exiting", extra=fields(reason=error))
                code = EXIT_FENCED
            except BaseException as error:
                log.exception("the role failed, exiting")
                if isinstance(error, LastingError):
                    tell_error(run_dir, error)
            if clock.monotonic() - began_s < EARLY_S:
                # Ray starts the next one at once, which is likely to fail in the same way.
                await clock.sleep(PAUSE_S)
            _exit(code)

        asyncio.run_coroutine_threadsafe(guarded(), self._loop)


def keep_what_is_here() -> None:
    """Take all objects of now out of the garbage collector's sight: modules (Ray's above all) and a role's own parts stay for
    the life of the process, and to look through them stops the loop for 40 ms."""
    gc.collect()
    gc.freeze()


def _exit(code: int) -> None:
    """End the process at once: nothing may be answered after a fence, so no destructor or handler runs."""
    logging.shutdown()
    os._exit(code)
