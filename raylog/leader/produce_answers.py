"""The commonest answer, to a Produce of one batch that was taken, from a template: writing it field by field costs as much as
all the rest of the request.

A template is the answer as the codec writes it, for one version, topic and partition; offsets and correlation id are put in.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

from kio.schema.errors import ErrorCode

from raylog.leader.messages import make, response_types
from raylog.protocol.file_range import in_memory
from raylog.protocol.wire import NO_THROTTLE, RequestHead, encode_response

_I64: Final = struct.Struct(">q")
_I32: Final = struct.Struct(">i")
_CORRELATION_POSITION: Final = 4
_BASE_MARK: Final = 0x1A2B3C4D5E6F7081
_START_MARK: Final = 0x2B3C4D5E6F70811A
_TEMPLATES_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Template:
    frame: bytes
    base_position: int
    start_position: int
    """-1: the version does not tell the log start offset."""


class ProduceAnswers:
    """Keeps templates; bounded, and rebuilt at need."""

    def __init__(self) -> None:
        self._templates: dict[tuple[int, Any, int], _Template] = {}

    def taken(self, head: RequestHead, topic: Any, index: int, base_offset: int, log_start_offset: int) -> bytes:
        """The frame, size prefix included, that says: the batch is in the log at ``base_offset``, with its own timestamps."""
        key = (head.api_version, topic, index)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _TEMPLATES_MAX:
                self._templates.clear()
            template = self._templates[key] = _template(head, topic, index)
        frame = bytearray(template.frame)
        _I32.pack_into(frame, _CORRELATION_POSITION, head.correlation_id)
        _I64.pack_into(frame, template.base_position, base_offset)
        if template.start_position >= 0:
            _I64.pack_into(frame, template.start_position, log_start_offset)
        return bytes(frame)


def topic_field(types: Any) -> str:
    """How this version names a topic in its answer."""
    return "topic_id" if "topic_id" in types.TopicProduceResponse.__dataclass_fields__ else "name"


def _template(head: RequestHead, topic: Any, index: int) -> _Template:
    types = response_types(head)
    partition = make(
        types.PartitionProduceResponse,
        {
            "index": index,
            "error_code": ErrorCode.none,
            "base_offset": _BASE_MARK,
            "log_append_time": None,
            "log_start_offset": _START_MARK,
            "record_errors": (),
        },
    )
    answered = types.TopicProduceResponse(**{topic_field(types): topic, "partition_responses": (partition,)})
    response = types.ProduceResponse(responses=(answered,), throttle_time=NO_THROTTLE)
    frame = b"".join(in_memory(encode_response(0, response)))
    # The topic's name comes first and could hold the mark's bytes, the fields behind it could not.
    return _Template(frame, frame.rindex(_I64.pack(_BASE_MARK)), frame.rfind(_I64.pack(_START_MARK)))
