"""The golden files of the metadata log: a slot, and a checkpoint, with a record of every type."""

from collections.abc import Callable
from uuid import UUID

from controller.records import (
    Adoption,
    BrokerRegistered,
    BrokerRetired,
    BrokersConfigured,
    ClusterCreated,
    Departure,
    DeploymentStarted,
    Destination,
    LeaderAdded,
    LeaderPlaced,
    LeaderRegistered,
    NodeDraining,
    PartitionsAdded,
    PartitionsAdopted,
    PartitionsMoving,
    PartitionsReleased,
    ProducerIdsAllocated,
    Record,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
    decode_records,
    encode_records,
)
from raylog.model.ids import BrokerId, LeaderId, LogEpoch, TopicId
from raylog.storage.checkpoint import decode_checkpoint
from raylog.storage.keys import METADATA_PREFIX, checkpoint_key, slot_key
from raylog.storage.slot_format import SlotKind
from tests.golden.golden import Golden
from tests.golden.objects import SLOT, newer_slot, parts_of, slot, with_meta
from tests.golden.partitions import CHANGES

TOPIC = TopicId(UUID("01234567-89ab-4def-8123-456789abcdef"))
SLOT_KEY = slot_key(METADATA_PREFIX, SLOT)
CHECKPOINT_KEY = checkpoint_key(METADATA_PREFIX, SLOT)

OF_VERSION_1: list[Record] = [
    ClusterCreated(cluster_id="J8mH2zrXQ0mXyT1mCw4bJw"),
    BrokerRegistered(node_id="10.0.0.1", broker_id=BrokerId(1), host="a.example", port=9092, rack="eu-1a"),
    BrokerRetired(node_id="10.0.0.1"),
    LeaderAdded(leader_id=LeaderId(3), wal_class="object", dedicated=True),
    LeaderRegistered(
        leader_id=LeaderId(3),
        log_epoch=LogEpoch(9),
        node_id="10.0.0.1",
        unix_path="/run/l.sock",
        host="10.0.0.1",
        port=7003,
    ),
    TopicCreated(topic_id=TOPIC, name="orders", configs={"retention.ms": "1"}, leaders=(LeaderId(3), LeaderId(4))),
    PartitionsAdded(topic_id=TOPIC, leaders=(LeaderId(3),)),
    PartitionsAdopted(leader_id=LeaderId(3), adopted=(Adoption(TOPIC, 0, -9), Adoption(TOPIC, 2, -9))),
    PartitionsMoving(moves=(Destination(TOPIC, 0, LeaderId(4)), Destination(TOPIC, 2, LeaderId(5)))),
    PartitionsReleased(leader_id=LeaderId(3), released=(Departure(TOPIC, 0, 2**63 - 1, 12),)),
    TopicConfigured(topic_id=TOPIC, configs={}),
    TopicDeleted(topic_id=TOPIC),
    BrokersConfigured(configs={"num.partitions": "3"}),
    ProducerIdsAllocated(next_id=2000),
]


OF_VERSION_2: list[Record] = [
    *OF_VERSION_1,
    DeploymentStarted(deployment_id="0a1b"),
    NodeDraining(node="10.0.0.1", start_id="5f3a", is_draining=True),
    LeaderAdded(leader_id=LeaderId(5), wal_class="disk", node="10.0.0.1", mount="raylog-wal-disk=a"),
    LeaderPlaced(leader_id=LeaderId(5), node="10.0.0.2", mount="raylog-wal-disk=a"),
]


OF_VERSION_3: list[Record] = [
    *OF_VERSION_2,
    NodeDraining(node="10.0.0.2", start_id="6a4b", is_draining=True, for_scaling=True),
]


EVERY_RECORD: list[Record] = [
    *OF_VERSION_3,
    PartitionsReleased(leader_id=LeaderId(3), released=(Departure(TOPIC, 2, 2**63 - 1, 12, CHANGES),)),
]


def _newer(key: str) -> dict[str, Callable[[bytes], bytes]]:
    return {
        "slot": newer_slot,
        "records": with_meta(lambda meta: meta.replace(b'{"version":4,', b'{"version":5,'), key),
        "type": with_meta(lambda meta: meta.replace(b'"topic_deleted"', b'"topic_renamed"'), key),
    }


def _slot_records(data: bytes) -> list[Record]:
    return decode_records(parts_of(data, SLOT_KEY)[2])


def _checkpoint_records(data: bytes) -> list[Record]:
    return decode_records(decode_checkpoint(data, CHECKPOINT_KEY).state)


METADATA = [
    Golden(file="metadata-slot-v1.bin", section="Metadata records", read=_slot_records, value=OF_VERSION_1),
    Golden(file="metadata-checkpoint-v1.bin", section="Metadata records", read=_checkpoint_records, value=OF_VERSION_1),
    Golden(file="metadata-slot-v2.bin", section="Metadata records", read=_slot_records, value=OF_VERSION_2),
    Golden(file="metadata-checkpoint-v2.bin", section="Metadata records", read=_checkpoint_records, value=OF_VERSION_2),
    Golden(file="metadata-slot-v3.bin", section="Metadata records", read=_slot_records, value=OF_VERSION_3),
    Golden(file="metadata-checkpoint-v3.bin", section="Metadata records", read=_checkpoint_records, value=OF_VERSION_3),
    Golden(
        file="metadata-slot-v4.bin",
        section="Metadata records",
        read=_slot_records,
        value=EVERY_RECORD,
        write=lambda: slot(SlotKind.APPEND, SLOT, b"", encode_records(EVERY_RECORD)),
        newer=_newer(SLOT_KEY),
    ),
    Golden(
        file="metadata-checkpoint-v4.bin",
        section="Metadata records",
        read=_checkpoint_records,
        value=EVERY_RECORD,
        write=lambda: slot(SlotKind.CHECKPOINT, SLOT, b"", encode_records(EVERY_RECORD)),
        newer=_newer(CHECKPOINT_KEY),
    ),
]
