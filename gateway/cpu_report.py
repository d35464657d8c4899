"""Tells the controller now and then how much of a processor this gateway takes: where gateways have too much to do, the cluster
grows (docs/decisions/0016). One report that gets lost is made up for by the next.
"""

from collections.abc import Callable
from contextlib import suppress

from raylog.model.admin import ControllerClient
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.limits import BalanceLimits
from raylog.model.load import CpuRate, ProcessUsage


async def report_cpu(
    controller: ControllerClient,
    node_id: str,
    index: int,
    *,
    usage: Callable[[], ProcessUsage],
    clock: Clock,
    limits: BalanceLimits,
) -> None:
    """Until cancelled. ``index`` is the gateway's among those of its node."""
    rate = CpuRate(limits.half_life_s, usage().cpu_s)
    sampled_s = clock.monotonic()
    while True:
        await clock.sleep(limits.report_s)
        now_s = clock.monotonic()
        cpu = rate.sample(now_s - sampled_s, usage().cpu_s)
        sampled_s = now_s
        with suppress(RetryError):
            await controller.report_gateway(node_id, index, cpu)
