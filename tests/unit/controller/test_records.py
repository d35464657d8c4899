"""The metadata log's records as JSON: every record comes back as it was, and what is not understood is refused."""

import json
from uuid import UUID

import pytest

from controller import records
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
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
    decode_records,
    encode_records,
)
from raylog.model.errors import CorruptError

TOPIC = UUID("01234567-89ab-4def-8123-456789abcdef")

EVERY_RECORD = [
    ClusterCreated(cluster_id="J8mH2zrXQ0mXyT1mCw4bJw"),
    DeploymentStarted(deployment_id="0a1b"),
    BrokerRegistered(node_id="10.0.0.1", broker_id=1, host="a.example", port=9092, rack="eu-1a"),
    BrokerRetired(node_id="10.0.0.1"),
    NodeDraining(node="10.0.0.1", start_id="5f3a", is_draining=True, for_scaling=True),
    LeaderAdded(leader_id=3, wal_class="object", dedicated=True, node="10.0.0.1", mount="vol-1"),
    LeaderPlaced(leader_id=3, node="10.0.0.2", mount="vol-1"),
    LeaderRegistered(leader_id=3, log_epoch=9, node_id="10.0.0.1", unix_path="/run/l.sock", host="10.0.0.1", port=7003),
    TopicCreated(topic_id=TOPIC, name="orders", configs={"retention.ms": "1"}, leaders=(3, 4), internal=False),
    PartitionsAdded(topic_id=TOPIC, leaders=(3,)),
    PartitionsAdopted(leader_id=3, adopted=(Adoption(TOPIC, 0, -9), Adoption(TOPIC, 2, -9))),
    PartitionsMoving(moves=(Destination(TOPIC, 0, 4), Destination(TOPIC, 2, 5))),
    PartitionsReleased(leader_id=3, released=(Departure(TOPIC, 0, 2**63 - 1, 12),)),
    TopicConfigured(topic_id=TOPIC, configs={}),
    TopicDeleted(topic_id=TOPIC),
    BrokersConfigured(configs={"num.partitions": "3"}),
    ProducerIdsAllocated(next_id=2000),
]


def test_every_record_comes_back_as_it_was():
    assert {type(record) for record in EVERY_RECORD} == set(records._TYPES.values())
    decoded = decode_records(encode_records(EVERY_RECORD))
    assert decoded == EVERY_RECORD
    assert [type(getattr(r, "adopted", (TOPIC,))[0]) for r in decoded].count(Adoption) == 1


def test_the_encoding_is_json_that_says_what_it_is():
    content = json.loads(encode_records(EVERY_RECORD[10:11]))
    assert content == {
        "version": 4,
        "records": [
            {"type": "partitions_adopted", "leader_id": 3, "adopted": [[str(TOPIC), 0, -9], [str(TOPIC), 2, -9]]}
        ],
    }


def test_a_field_with_a_default_may_be_missing():
    data = json.dumps({"version": 1, "records": [{"type": "leader_added", "leader_id": 1, "wal_class": "file"}]})
    assert decode_records(data.encode()) == [LeaderAdded(leader_id=1, wal_class="file")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not json", "cannot be decoded"),
        (b"[]", "cannot be decoded"),
        (b'{"version": 5, "records": []}', "use a newer Raylog"),
        (b'{"version": 1, "records": [{"type": "moon_landed"}]}', "moon_landed"),
        (b'{"version": 1, "records": [{"type": "topic_deleted"}]}', "missing fields: topic_id"),
        (b'{"version": 1, "records": [{"type": "topic_deleted", "topic_id": "x"}]}', "cannot be decoded"),
        (b'{"version": 1, "records": [{"type": "cluster_created", "cluster_id": "c", "x": 1}]}', "fields: x"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_sentence(data, message):
    with pytest.raises(CorruptError, match=message):
        decode_records(data)
