"""Kafka's rules for topic names."""

import pytest

from raylog.model.topic_names import topic_name_fault


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "...", "_", "x" * 249, "__consumer_offsets"])
def test_legal(name: str) -> None:
    assert topic_name_fault(name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 250, "a b", "a/b", "ä", "a\n", "a:b", "٣"])
def test_illegal_with_a_sentence(name: str) -> None:
    fault = topic_name_fault(name)
    assert fault is not None
    assert fault.endswith(".")
