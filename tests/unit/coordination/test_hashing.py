"""The partition of a group is the one that Kafka's brokers and tools compute."""

import pytest

from raylog.coordination.hashing import group_partition, java_hash


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a", 97),
        ("hello", 99162322),
        ("Aa", 2112),
        ("BB", 2112),
        ("polygenelubricants", -(2**31)),
        ("ü", 252),
        ("\U0001f600", 0xD83D * 31 + 0xDE00),
    ],
)
def test_java_hash_is_that_of_string_hash_code(text: str, expected: int) -> None:
    assert java_hash(text) == expected


def test_the_hash_without_a_positive_twin_counts_as_zero() -> None:
    assert group_partition("polygenelubricants", 50) == 0


def test_negative_hashes_give_partitions_of_the_topic() -> None:
    names = [f"consumers-of-{number}" for number in range(100)]
    assert any(java_hash(name) < 0 for name in names)
    for name in names:
        assert group_partition(name, 50) == abs(java_hash(name)) % 50
