"""ApiVersions (key 18), versions 0-4: KIP-35, KIP-511 (client name and version, and an answer to versions we do not
know).

- The list is made from the handlers that exist.
- Produce is shown from version 0 on although 3 is the first that is served: librdkafka takes a broker without Produce
  v0 for one that has only the old message format (KAFKA-18659). Kafka 4 does the same.
- An unknown version is answered in the layout of version 0 with UNSUPPORTED_VERSION, so that the client can choose
  another.

Left out: features (``group.version`` and others). None is served, and none is what clients take a missing list for.
"""

import re
from typing import Any, Final

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from gateway.context import RequestContext
from gateway.messages import make, response_types
from gateway.registry import Api, handles
from raylog.protocol.wire import NO_THROTTLE, i16

_KEY: Final = 18
_PRODUCE_KEY: Final = 0
_FIRST_VERSION_WITH_CLIENT_NAME: Final = 3
_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


def _unsupported(context: RequestContext) -> Payload:
    """Kafka tells only its range of ApiVersions itself here."""
    return _response(0, ErrorCode.unsupported_version, [context.services.apis[_KEY]])


@handles(_KEY, 0, 4, unsupported=_unsupported)
def api_versions(context: RequestContext, request: Any) -> Payload:
    version = context.head.api_version
    if version >= _FIRST_VERSION_WITH_CLIENT_NAME:
        told = (request.client_software_name, request.client_software_version)
        if not all(_SOFTWARE.fullmatch(text) for text in told):
            return _response(version, ErrorCode.invalid_request, [])
    return _response(version, ErrorCode.none, list(context.services.apis.values()))


def _response(version: int, error: ErrorCode, apis: list[Api]) -> Payload:
    types = response_types(_KEY, version)
    api_keys = tuple(
        types.ApiVersion(
            api_key=i16(api.key),
            min_version=i16(0 if api.key == _PRODUCE_KEY else api.min_version),
            max_version=i16(api.max_version),
        )
        for api in apis
    )
    response: Payload = make(
        types.ApiVersionsResponse, {"error_code": error, "api_keys": api_keys, "throttle_time": NO_THROTTLE}
    )
    return response
