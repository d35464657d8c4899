"""What gateways and leaders agree on beyond Kafka's protocol, in the requests and answers between them.

- Correlation ids of requests stay below ``PLAN_BIT`` and ``ERROR_BIT``; a leader sets these in an answer's, so that a gateway can
  pass most answers on without decoding them.
- A Fetch with ``max_bytes`` 0 asks only to wait: it is answered when ``min_bytes`` could be met, without records.
- Records that a leader has no longer in memory are answered as a read plan (``raylog.storage.read_plan``) in their place, with
  ``preferred_read_replica`` -2 where the version has that field.
"""

from typing import Any, Final

PLAN_BIT: Final = 1 << 30
"""The answer's records hold read plans."""

ERROR_BIT: Final = 1 << 29
"""A partition of the answer (to Produce or Fetch, which are passed through) has an error code."""

CORRELATION_ID_MASK: Final = ERROR_BIT - 1

_PRODUCE_KEY: Final = 0
_FETCH_KEY: Final = 1


def has_error(response: Any) -> bool:
    """Whether ``ERROR_BIT`` belongs to this response entity."""
    api_key = type(response).__api_key__
    if api_key == _PRODUCE_KEY:
        return any(part.error_code for topic in response.responses for part in topic.partition_responses)
    if api_key == _FETCH_KEY:
        return any(part.error_code for topic in response.responses for part in topic.partitions)
    return False
