"""The ControllerClient port over Ray: resolves the controller's name again for ever, and never keeps a dead handle.

Long polls are followed without an end; other calls are tried again while the controller restarts, for the caller's patience.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from actors.asking import in_a_thread
from actors.calls import Outcome
from actors.settings import CONTROLLER_NAME, NAMESPACE
from raylog.model.admin import (
    Adopted,
    ConfigAlteration,
    ConfigResult,
    HandoverOffer,
    LeaderAssignments,
    Move,
    MoveResult,
    NewTopic,
    Released,
    TopicResult,
    TopicSelector,
)
from raylog.model.clock import Clock
from raylog.model.errors import RetryError
from raylog.model.ids import LeaderId, LogEpoch, TopicPartition
from raylog.model.load import LoadReport
from raylog.model.routing import BrokerEndpoint, LeaderEndpoint, RoutingTable

_BACKOFF_FIRST_S = 0.1
_BACKOFF_LAST_S = 2.0
_PATIENCE_S = 30.0


class RayControllerClient:
    """Calls the named controller actor of this Ray cluster."""

    def __init__(self, clock: Clock, *, patience_s: float = _PATIENCE_S) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._handle: Any = None

    async def find(self) -> None:
        """Look for the controller now, so that the first call need not. Where it is not found, that call tells."""
        with contextlib.suppress(RayError, ValueError, OSError):
            await self._find()

    async def _find(self) -> Any:
        """Its handle. Raises RayError, ValueError, OSError."""
        if self._handle is None:
            # get_actor blocks on the GCS, which may be away: off the loop, so that serving goes on.
            self._handle = await in_a_thread(ray.get_actor, CONTROLLER_NAME, NAMESPACE)
        return self._handle

    async def _call(self, method: str, *args: object, patience_s: float | None = None, **kwargs: object) -> Any:
        deadline = self._clock.monotonic() + (self._patience_s if patience_s is None else patience_s)
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                return await self._call_once(method, args, kwargs)
            except RetryError:
                if self._clock.monotonic() + backoff_s > deadline:
                    raise
                await self._clock.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _BACKOFF_LAST_S)

    async def _call_once(self, method: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        try:
            ref = (await self._find()).call.remote(method, args, kwargs)
            outcome: Outcome = await asyncio.wrap_future(ref.future())
        except (RayError, ValueError, OSError) as error:  # ValueError: no actor of that name (yet)
            self._handle = None
            raise RetryError(
                f"The controller does not answer ({type(error).__name__}); it is being restarted."
            ) from error
        return outcome.unwrap()

    async def watch_routes(self, version: int) -> RoutingTable:
        table: RoutingTable = await self._call("watch_routes", version)
        return table

    async def register_leader(self, endpoint: LeaderEndpoint) -> LeaderAssignments:
        assignments: LeaderAssignments = await self._call("register_leader", endpoint)
        return assignments

    async def watch_assignments(
        self, leader_id: LeaderId, log_epoch: LogEpoch, version: int, load: LoadReport | None = None
    ) -> LeaderAssignments | None:
        news: LeaderAssignments | None = await self._call("watch_assignments", leader_id, log_epoch, version, load)
        return news

    async def wake_leader(self, leader_id: LeaderId) -> None:
        # Whoever asks for the leader again says so again.
        await self._call("wake_leader", leader_id, patience_s=0.0)

    async def report_gateway(self, node_id: str, index: int, cpu: float) -> None:
        await self._call("report_gateway", node_id, index, cpu, patience_s=0.0)

    async def report_adopted(self, leader_id: LeaderId, log_epoch: LogEpoch, adopted: Sequence[Adopted]) -> None:
        await self._call("report_adopted", leader_id, log_epoch, list(adopted))

    async def report_released(self, leader_id: LeaderId, log_epoch: LogEpoch, released: Sequence[Released]) -> None:
        await self._call("report_released", leader_id, log_epoch, list(released))

    async def offer_handover(
        self, leader_id: LeaderId, log_epoch: LogEpoch, handover: int, partitions: Sequence[TopicPartition]
    ) -> None:
        # Only time is lost without it.
        await self._call("offer_handover", leader_id, log_epoch, handover, list(partitions), patience_s=0.0)

    async def watch_offers(
        self, leader_id: LeaderId, log_epoch: LogEpoch, read: Sequence[HandoverOffer]
    ) -> tuple[HandoverOffer, ...]:
        offers: tuple[HandoverOffer, ...] = await self._call("watch_offers", leader_id, log_epoch, list(read))
        return offers

    async def deleted_of(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        deleted: list[TopicPartition] = await self._call("deleted_of", list(partitions))
        return deleted

    async def move_partitions(self, moves: Sequence[Move]) -> list[MoveResult]:
        results: list[MoveResult] = await self._call("move_partitions", list(moves))
        return results

    async def balance(self, explain: tuple[str, int] | None = None) -> dict[str, object]:
        seen: dict[str, object] = await self._call("balance", explain)
        return seen

    async def balance_now(self) -> dict[str, list[int]]:
        moved: dict[str, list[int]] = await self._call("balance_now")
        return moved

    async def register_broker(self, node_id: str, host: str, port: int, rack: str | None) -> BrokerEndpoint:
        endpoint: BrokerEndpoint = await self._call("register_broker", node_id, host, port, rack)
        return endpoint

    async def create_topics(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        results: list[TopicResult] = await self._call(
            "create_topics",
            list(topics),
            validate_only=validate_only,
            timeout_ms=timeout_ms,
            patience_s=timeout_ms / 1000,
        )
        return results

    async def delete_topics(self, topics: Sequence[TopicSelector], *, timeout_ms: int = 30_000) -> list[TopicResult]:
        results: list[TopicResult] = await self._call(
            "delete_topics", list(topics), timeout_ms=timeout_ms, patience_s=timeout_ms / 1000
        )
        return results

    async def create_partitions(
        self, counts: dict[str, int], *, validate_only: bool = False, timeout_ms: int = 30_000
    ) -> list[TopicResult]:
        results: list[TopicResult] = await self._call(
            "create_partitions",
            counts,
            validate_only=validate_only,
            timeout_ms=timeout_ms,
            patience_s=timeout_ms / 1000,
        )
        return results

    async def alter_configs(
        self, alterations: Sequence[ConfigAlteration], *, validate_only: bool = False
    ) -> list[ConfigResult]:
        results: list[ConfigResult] = await self._call("alter_configs", list(alterations), validate_only=validate_only)
        return results

    async def allocate_producer_ids(self, count: int) -> int:
        first: int = await self._call("allocate_producer_ids", count)
        return first

    async def status(self) -> dict[str, object]:
        status: dict[str, object] = await self._call("status")
        return status
