"""Answers from templates are, byte for byte, what the codec writes."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from raylog.leader.messages import make, response_types
from raylog.leader.produce_answers import ProduceAnswers, topic_field
from raylog.protocol.wire import NO_THROTTLE, RequestHead, encode_response

OFFSETS = st.integers(min_value=0, max_value=2**63 - 1)
NAMES = st.one_of(st.text(st.characters(codec="utf-8"), max_size=60), st.just("\x1a+<M^op"))


@pytest.mark.parametrize("version", range(3, 14))
def test_template_equals_the_codec(version: int) -> None:
    answers = ProduceAnswers()

    @given(
        correlation_id=st.integers(min_value=0, max_value=2**31 - 1),
        name=NAMES,
        topic_id=st.uuids().filter(lambda found: found.int != 0),
        index=st.integers(min_value=0, max_value=2**31 - 1),
        base_offset=OFFSETS,
        log_start_offset=OFFSETS,
    )
    def check(
        correlation_id: int, name: str, topic_id: UUID, index: int, base_offset: int, log_start_offset: int
    ) -> None:
        head = RequestHead(0, version, correlation_id, None, 0)
        types: Any = response_types(head)
        field = topic_field(types)
        topic = topic_id if field == "topic_id" else name
        partition = make(
            types.PartitionProduceResponse,
            {
                "index": index,
                "error_code": ErrorCode.none,
                "base_offset": base_offset,
                "log_append_time": None,
                "log_start_offset": log_start_offset,
                "record_errors": (),
            },
        )
        answered = types.TopicProduceResponse(**{field: topic, "partition_responses": (partition,)})
        response = types.ProduceResponse(responses=(answered,), throttle_time=NO_THROTTLE)
        expected = b"".join(encode_response(correlation_id, response))
        assert answers.taken(head, topic, index, base_offset, log_start_offset) == expected

    check()
