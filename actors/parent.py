"""A role ends with its raylet: without one nobody would start it again, and a new server would find its port taken.

Ray kills the workers of a raylet that stops in good order. One that is killed leaves them behind, and they would go on serving.
"""

import logging
import os
import threading
from collections.abc import Callable

EXIT_ORPHANED = 72
LOOK_EVERY_S = 1.0


def end_with_parent(
    log: logging.LoggerAdapter[logging.Logger],
    *,
    parent: Callable[[], int] = os.getppid,
    end: Callable[[int], None] = os._exit,
    every_s: float = LOOK_EVERY_S,
) -> threading.Thread:
    """End this process within about ``every_s`` of its parent's end. In a thread, so that a role that hangs ends as well."""
    born_of = parent()

    def watch() -> None:
        pause = threading.Event()
        while parent() == born_of:
            pause.wait(every_s)
        log.warning("the raylet has ended, exiting")
        logging.shutdown()
        end(EXIT_ORPHANED)

    watcher = threading.Thread(target=watch, name="parent-watch", daemon=True)
    watcher.start()
    return watcher
