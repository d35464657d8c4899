"""What travels between gateways and leaders beside Kafka's own fields comes back as it was."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.coordination.internal import ClientContext, qualified, unqualified
from raylog.model.errors import InvalidError
from raylog.model.ids import TopicId

TOPIC_NAMES = st.text("abcXYZ019._-", min_size=1, max_size=249)


@given(
    st.builds(
        ClientContext,
        client_id=st.text(),
        host=st.ip_addresses().map(str),
        api_version=st.integers(0, 20),
        partition_count=st.integers(1, 10_000),
        retention_ms=st.none() | st.integers(0, 2**62),
    )
)
def test_a_clients_context_comes_back(context: ClientContext) -> None:
    assert ClientContext.unpacked(context.packed()) == context


@pytest.mark.parametrize("text", [None, "", "rdkafka", "1/2/3/4", "a/1/-1/h/c", "0/1/-1/h/c", "-5/1/-1/h/c"])
def test_other_client_ids_are_refused(text: str | None) -> None:
    with pytest.raises(InvalidError):
        ClientContext.unpacked(text)


@given(TOPIC_NAMES, st.none() | st.uuids())
def test_a_topic_with_its_id_comes_back(name: str, topic_id: UUID | None) -> None:
    expected = name, None if topic_id is None else TopicId(topic_id)
    assert unqualified(qualified(name, expected[1])) == expected


def test_a_broken_topic_id_is_refused() -> None:
    with pytest.raises(InvalidError):
        unqualified("zzz:orders")
