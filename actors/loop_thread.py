"""A role's own event loop: uvloop on a thread of its own, so that Ray's calls and the role's sockets never wait for each other.

Ray's actor methods hand coroutines over with ``call``; the role's life is one coroutine given to ``run_role``, and when that ends
(fenced, or a breach of an invariant) the process ends with it: Ray starts a new one, which opens its log one epoch up.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from raylog.model.errors import FencedError
from raylog.model.logs import fields

T = TypeVar("T")

EXIT_FENCED = 70
EXIT_FAILED = 71


class LoopThread:
    """One thread that runs one uvloop for as long as the process lives."""

    def __init__(self, name: str) -> None:
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

    def run_role(self, life: Coroutine[Any, Any, None], log: logging.LoggerAdapter[logging.Logger]) -> None:
        """Start the coroutine that lasts as long as the role does; when it ends, the process exits."""

        async def guarded() -> None:
            try:
                await life
            except FencedError as error:
                log.warning("fenced: another process has taken over, exiting", extra=fields(reason=error))
                _exit(EXIT_FENCED)
            except BaseException:
                log.exception("the role failed, exiting")
                _exit(EXIT_FAILED)

        asyncio.run_coroutine_threadsafe(guarded(), self._loop)


def _exit(code: int) -> None:
    """End the process at once: nothing may be answered after a fence, so no destructor or handler runs."""
    logging.shutdown()
    os._exit(code)
