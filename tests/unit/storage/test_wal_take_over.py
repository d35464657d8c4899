"""A take-over in a WAL: what is written is read, and nothing else is taken for one."""

from uuid import UUID

import pytest

from raylog.model.errors import CorruptError, NewerFormatError
from raylog.model.ids import LogEpoch, TopicId, TopicPartition
from raylog.storage.slot_events import TakeOver
from raylog.storage.wal_take_over import decode_take_over, encode_take_over

EVENT = TakeOver(
    partition=TopicPartition(TopicId(UUID(int=9)), 3),
    epoch_base=-2,
    topic_name="t",
    from_leader=4,
    handover=2**62,
    changes={"rows": [[1, 2]]},
)


def test_it_comes_back() -> None:
    assert decode_take_over(encode_take_over(EVENT, LogEpoch(7))) == (EVENT, 7)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda body: b"", CorruptError),
        (lambda body: b"[]", CorruptError),
        (lambda body: body.replace(b'"epoch":7', b'"epoch":null'), CorruptError),
        (lambda body: body.replace(b'"topic_name":"t",', b""), CorruptError),
        (
            lambda body: (
                b'{"epoch":7,"event":{"type":"delete","partition":["00000000-0000-0000-0000-000000000009",3]}}'
            ),
            CorruptError,
        ),
        (lambda body: body.replace(b'"take_over"', b'"take_off"'), NewerFormatError),
    ],
)
def test_what_is_none_is_refused(damage, error) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error):
        decode_take_over(damage(encode_take_over(EVENT, LogEpoch(7))))
