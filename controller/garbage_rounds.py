"""When garbage is collected: some time after the controller's start, then in intervals. Who does it is the caller's choice (Ray
runs it as a task); a round that fails is told, and the next one finds what it left."""

from collections.abc import Awaitable, Callable

from raylog.model.clock import Clock
from raylog.model.errors import CorruptError, InvalidError, NotFoundError, RetryError
from raylog.model.ids import TopicPartition
from raylog.model.logs import RoleLogger, fields

_FIRST_AFTER = 0.1
"""Of an interval: a cluster that is started anew every now and then is collected, too, but not while everything starts."""

Collect = Callable[[frozenset[TopicPartition]], Awaitable[None]]
"""One round, told which partitions are led: ``raylog.leader.garbage``."""


async def collect_in_rounds(
    collect: Collect,
    led: Callable[[], frozenset[TopicPartition]],
    *,
    clock: Clock,
    interval_s: float,
    log: RoleLogger,
) -> None:
    """For ever, until cancelled. ``led`` gives the partitions whose adoptions are durable; RetryError from it skips a round."""
    await clock.sleep(interval_s * _FIRST_AFTER)
    while True:
        try:
            await collect(led())
        except RetryError as error:
            log.info("garbage is collected in the next round", extra=fields(reason=error))
        except (CorruptError, NotFoundError, InvalidError) as error:
            log.error("garbage cannot be collected: 'raylog store check' says more", extra=fields(error=error))
        await clock.sleep(interval_s)
