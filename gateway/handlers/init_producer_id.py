"""InitProducerId (key 22), versions 0-5: KIP-98, KIP-360 (an id and epoch may be given), KIP-890 (version 5).

Without a transactional id each call gives a new producer id with epoch 0, whatever id the client had, as in Kafka. With
one it is UNSUPPORTED_VERSION, since transactions are not served yet (see FindCoordinator).
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import response_types
from gateway.registry import handles
from raylog.model.errors import RetryError
from raylog.protocol.wire import NO_THROTTLE, i16, producer_id

_KEY: Final = 22


@handles(_KEY, 0, 5, left_out="transactional ids, which are not served yet; two-phase commit (KIP-939)")
async def init_producer_id(context: RequestContext, request: Any) -> Payload:
    if request.transactional_id is not None:
        # An empty transactional id is nobody's, in Kafka too.
        code = ErrorCode.unsupported_version if request.transactional_id else ErrorCode.invalid_request
        return _response(context, code)
    try:
        given = await context.services.producer_ids.next_id()
    except RetryError:
        return _response(context, ErrorCode.coordinator_load_in_progress)
    return _response(context, ErrorCode.none, given, 0)


def _response(context: RequestContext, error: ErrorCode, given: int = -1, epoch: int = -1) -> Payload:
    types = response_types(_KEY, context.head.api_version)
    response: Payload = types.InitProducerIdResponse(
        throttle_time=NO_THROTTLE, error_code=error, producer_id=producer_id(given), producer_epoch=i16(epoch)
    )
    return response
