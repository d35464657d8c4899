"""What a newer Raylog has left in the bucket or on a WAL: whoever reads it there ends with a sentence that names it."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controller.journal import open_journal
from controller.metrics import ControllerMetrics
from raylog.leader.handover_reader import HandoverReader
from raylog.leader.log_mark import mark_leader_log
from raylog.leader.recovery import recover
from raylog.model.clock import SystemClock, system_random
from raylog.model.errors import NewerFormatError
from raylog.model.ids import LogEpoch
from raylog.model.limits import Limits
from raylog.model.logs import role_logger
from raylog.storage.keys import METADATA_PREFIX, slot_key
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_wal import ObjectWal
from raylog.storage.slot_format import SlotKind
from raylog.storage.wal import FlushPolicy
from raylog.storage.wal_class import leader_folder, open_wal, parse_wal_class
from tests.golden import metadata, objects, wal
from tests.golden.collection import GOLDEN

CLOCK = SystemClock()
LIMITS = Limits()
LOG = role_logger("test")
BY_FILE = {golden.file: golden for golden in GOLDEN}


def newer(file: str, what: str) -> bytes:
    golden = BY_FILE[file]
    return golden.newer[what](golden.path.read_bytes())


async def store_with(objects_by_key: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore(CLOCK)
    for key, data in objects_by_key.items():
        await store.put_if_absent(key, [data])
    return store


async def mark(store: MemoryStore) -> None:
    await mark_leader_log(store, objects.LEADER, clock=CLOCK, rng=system_random(), limits=LIMITS.log)


async def take_over(store: MemoryStore) -> None:
    await recover(
        leader_id=objects.LEADER,
        store=store,
        wal=ObjectWal(flush_policy=FlushPolicy(interval_ms=1, max_bytes=1, immediate=True)),
        clock=CLOCK,
        rng=system_random(),
        limits=LIMITS,
        logger=LOG,
    )


async def open_metadata(store: MemoryStore) -> None:
    await open_journal(
        store,
        clock=CLOCK,
        rng=system_random(),
        limits=LIMITS.log,
        checkpoint_slots=500,
        metrics=ControllerMetrics(CollectorRegistry()),
        role_log=LOG,
    )


async def read_handover(store: MemoryStore) -> None:
    await HandoverReader(store).read(objects.LEADER, objects.HANDOVER)


def opened(prefix: str, meta: bytes) -> dict[str, bytes]:
    """A log of two slots, the second with this meta."""
    return {
        slot_key(prefix, 1): objects.slot(SlotKind.OPEN, 1, b"", b""),
        slot_key(prefix, 2): objects.slot(SlotKind.APPEND, 2, b"", meta),
    }


def meta_of(data: bytes) -> bytes:
    return objects.parts_of(data, "k")[2]


LEADER_LOG = [
    (slot_key(objects.PREFIX, 1), {slot_key(objects.PREFIX, 1): newer("open-slot-v1.bin", "slot")}),
    (slot_key(objects.PREFIX, 1), {slot_key(objects.PREFIX, 1): newer("open-slot-v1.bin", "kind")}),
    (slot_key(objects.PREFIX, 2), opened(objects.PREFIX, meta_of(newer("leader-slot-v3.bin", "meta")))),
    (slot_key(objects.PREFIX, 2), opened(objects.PREFIX, meta_of(newer("leader-slot-v3.bin", "event")))),
    (objects.CHECKPOINT_KEY, {objects.CHECKPOINT_KEY: newer("leader-checkpoint-v4.bin", "slot")}),
    (objects.CHECKPOINT_KEY, {objects.CHECKPOINT_KEY: newer("leader-checkpoint-v4.bin", "state")}),
]
METADATA_LOG = [
    (slot_key(METADATA_PREFIX, 2), opened(METADATA_PREFIX, meta_of(newer("metadata-slot-v4.bin", "records")))),
    (slot_key(METADATA_PREFIX, 2), opened(METADATA_PREFIX, meta_of(newer("metadata-slot-v4.bin", "type")))),
    (metadata.CHECKPOINT_KEY, {metadata.CHECKPOINT_KEY: newer("metadata-checkpoint-v4.bin", "records")}),
]
HANDOVERS = [
    (objects.HANDOVER_KEY, {objects.HANDOVER_KEY: newer("leader-handover-v4.bin", "slot")}),
    (objects.HANDOVER_KEY, {objects.HANDOVER_KEY: newer("leader-handover-v4.bin", "state")}),
]


@pytest.mark.parametrize(
    ("read", "key", "bucket"),
    [
        *((mark, *case) for case in LEADER_LOG),
        *((take_over, *case) for case in LEADER_LOG),
        *((open_metadata, *case) for case in METADATA_LOG),
        *((read_handover, *case) for case in HANDOVERS),
    ],
)
async def test_the_object_is_named_and_nothing_is_written(read, key, bucket):
    store = await store_with(bucket)
    with pytest.raises(NewerFormatError, match=rf"'{key}'.*use a newer Raylog"):
        await read(store)
    assert {found.key async for found in store.list("")} == bucket.keys()


@pytest.mark.parametrize(
    ("file", "name", "named"),
    [
        ("wal-segment-v2.bin", "00000007-00000002.wal", "The WAL segment '00000007-00000002.wal'"),
        ("wal-fence-v0.bin", "fence", "The WAL's fence"),
    ],
)
async def test_a_wal_is_named_and_not_taken(tmp_path: Path, file: str, name: str, named: str) -> None:
    folder = tmp_path / leader_folder(wal.LEADER)
    folder.mkdir()
    (what,) = BY_FILE[file].newer
    (folder / name).write_bytes(newer(file, what))
    opening = open_wal(parse_wal_class("disk", f"file://{tmp_path}"), wal.LEADER, clock=CLOCK)
    with pytest.raises(NewerFormatError, match=rf"The WAL disk.*{named}.*use a newer Raylog"):
        await opening.open(LogEpoch(300))
    assert (folder / name).exists()
    await opening.close()
