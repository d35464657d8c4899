"""DescribeCluster (key 60), versions 0-2: KIP-700, KIP-919 (endpoint type), KIP-1073 (fenced brokers, of which there
are none).

The controller is not an endpoint of the Kafka protocol: asking for controllers is answered as a Kafka broker does.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.cluster_view import CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED
from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import handles
from raylog.protocol.wire import NO_THROTTLE, broker_id, i8, i32

_KEY: Final = 60
_BROKERS: Final = 1
_CONTROLLERS: Final = 2


@handles(_KEY, 0, 2)
def describe_cluster(context: RequestContext, request: Any) -> Payload:
    table = context.table
    types = response_types(_KEY, context.head.api_version)
    endpoint_type = getattr(request, "endpoint_type", _BROKERS)
    error, message = _fault(endpoint_type)
    brokers = tuple(
        make(
            types.DescribeClusterBroker,
            {
                "broker_id": broker_id(broker.broker_id),
                "host": broker.host,
                "port": i32(broker.port),
                "rack": broker.rack,
                "is_fenced": False,
            },
        )
        for broker in table.brokers
    )
    operations = CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else OPERATIONS_NOT_ASKED
    response: Payload = make(
        types.DescribeClusterResponse,
        {
            "throttle_time": NO_THROTTLE,
            "error_code": error,
            "error_message": message,
            "endpoint_type": i8(_BROKERS),
            "cluster_id": table.cluster_id,
            "controller_id": broker_id(table.controller_broker),
            "brokers": brokers if error is ErrorCode.none else (),
            "cluster_authorized_operations": i32(operations),
        },
    )
    return response


def _fault(endpoint_type: int) -> tuple[ErrorCode, str | None]:
    if endpoint_type == _BROKERS:
        return ErrorCode.none, None
    if endpoint_type == _CONTROLLERS:
        return ErrorCode.mismatched_endpoint_type, "This is a broker's endpoint; Raylog's controller has none."
    return ErrorCode.unsupported_endpoint_type, f"There is no endpoint type {endpoint_type}."
