"""Questions to Ray that block while its GCS is away: for a minute, or until it is back, as Ray likes (seen with 2.60).

They have threads of their own, so that nothing waits for them but who asks: in an event loop's own pool of threads, of which a
small machine has six, the work of a flush or a plan would soon stand behind them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import ray

from raylog.model.errors import RetryError

P = ParamSpec("P")
T = TypeVar("T")

_THREADS_MAX = 32

_threads = ThreadPoolExecutor(max_workers=_THREADS_MAX, thread_name_prefix="asks-ray")


async def in_a_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run something that asks Ray."""
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(work, *args, **kwargs))


async def ask_ray(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same with one error for all that Ray says instead of an answer: RetryError."""
    try:
        return await in_a_thread(work, *args, **kwargs)
    except (ray.exceptions.RayError, RuntimeError, ConnectionError) as error:
        raise RetryError(f"Ray does not answer ({type(error).__name__}).") from error
