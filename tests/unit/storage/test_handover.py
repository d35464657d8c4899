"""A handover's bytes: held to a golden file, and refused when they are not what they promise."""

from pathlib import Path

import pytest

from raylog.model.clock import SystemClock
from raylog.model.errors import CorruptError, NotFoundError
from raylog.model.ids import LeaderId, LogEpoch
from raylog.storage.handover import Handover, decode_handover, read_handover, write_handover
from raylog.storage.keys import ObjectKind, handover_key, object_name
from raylog.storage.memory_store import MemoryStore

GOLDEN = Path(__file__).parents[2] / "golden" / "files" / "handover-v1.bin"
NUMBER = 2**63 - 1
KEY = "leaders/000003/handover/09223372036854775807"
HANDOVER = Handover(
    leader_id=LeaderId(3),
    number=NUMBER,
    epoch=LogEpoch(12),
    writer_id=bytes(range(16)),
    state=b"partitions as they are",
)


async def test_the_bytes_are_as_they_always_were():
    store = MemoryStore(SystemClock())
    await write_handover(store, HANDOVER)
    assert await store.get(KEY) == GOLDEN.read_bytes()
    assert await read_handover(store, LeaderId(3), NUMBER) == HANDOVER.state
    with pytest.raises(NotFoundError):
        await read_handover(store, LeaderId(3), NUMBER - 1)


def test_the_key_names_leader_and_number():
    assert handover_key(LeaderId(3), NUMBER) == KEY
    name = object_name(KEY)
    assert (name.kind, name.log, name.leader_id, name.number) == (ObjectKind.HANDOVER, "leaders/000003/", 3, NUMBER)
    assert object_name("metadata/handover/00000000000000000001").kind is ObjectKind.UNKNOWN


@pytest.mark.parametrize("size", [0, 64, 100, -1])
def test_what_was_cut_off_is_corrupt(size):
    with pytest.raises(CorruptError):
        decode_handover(GOLDEN.read_bytes()[:size], KEY)


def test_one_under_the_key_of_another_is_corrupt():
    with pytest.raises(CorruptError, match="does not hold what its key"):
        decode_handover(GOLDEN.read_bytes(), handover_key(LeaderId(3), 5))
