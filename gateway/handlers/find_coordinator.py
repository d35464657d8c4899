"""FindCoordinator (key 10), versions 0-6: KIP-98 (key types), KIP-699 (batches, from version 4 on).

- The coordinator of a group is shown as the broker near its leader, or in the client's zone: every gateway forwards a
  group's requests to the leader that holds it. While that leader is away the answer is COORDINATOR_NOT_AVAILABLE.
- Transactions are not served yet. Clients get UNSUPPORTED_VERSION, which the producer documents for brokers without
  transactions and tells at once, where COORDINATOR_NOT_AVAILABLE would have it try for a minute.
"""

from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.cluster_view import broker_for
from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.model.routing import BrokerEndpoint
from raylog.protocol.wire import NO_THROTTLE, broker_id, i32

_KEY: Final = 10
_GROUP: Final = 0
_TRANSACTION: Final = 1
_FIRST_BATCHED_VERSION: Final = 4


@dataclass(frozen=True, slots=True)
class _Found:
    key: str
    error: ErrorCode = ErrorCode.none
    message: str | None = None
    broker: BrokerEndpoint | None = None


@handles(_KEY, 0, 6, left_out="coordinators of transactions and share groups, which are not served yet")
async def find_coordinator(context: RequestContext, request: Any) -> Payload:
    version = context.head.api_version
    keys = request.coordinator_keys if version >= _FIRST_BATCHED_VERSION else (request.key,)
    key_type = getattr(request, "key_type", _GROUP)
    found = [await _find(context, key_type, key) for key in keys]
    types = response_types(_KEY, version)
    if version < _FIRST_BATCHED_VERSION:
        one: Payload = make(types.FindCoordinatorResponse, {"throttle_time": NO_THROTTLE, **_values(found[0])})
        return one
    response: Payload = types.FindCoordinatorResponse(
        throttle_time=NO_THROTTLE,
        coordinators=tuple(types.Coordinator(key=each.key, **_values(each)) for each in found),
    )
    return response


async def _find(context: RequestContext, key_type: int, key: str) -> _Found:
    if key_type == _GROUP:
        error, leader_id = context.router.coordinator_leader(key)
        if error is ErrorCode.none and not await context.router.is_reachable(leader_id):
            error = ErrorCode.coordinator_not_available
        if error is not ErrorCode.none:
            return _Found(key, error, "The group's coordinator is being started.")
        near = broker_for(context.table, leader_id, context.client_zone, crc32(key.encode()))
        return _Found(key, broker=near or context.services.broker)
    if key_type == _TRANSACTION:
        return _Found(key, ErrorCode.unsupported_version, "This cluster does not serve transactions yet.")
    return _Found(key, ErrorCode.invalid_request, f"There are no coordinators of type {key_type}.")


def _values(found: _Found) -> dict[str, object]:
    broker = found.broker
    return {
        "error_code": found.error,
        "error_message": found.message,
        "node_id": broker_id(broker.broker_id if broker else -1),
        "host": broker.host if broker else "",
        "port": i32(broker.port if broker else -1),
    }
