"""Three zones with a gateway and a leader each: what crosses is counted as the sockets' other ends count it.

Clients' own counts are librdkafka's statistics, leaders' those of their listeners' sockets.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.cluster import InProcessCluster, running
from tests.harness.load import until

ZONES = ("east", "middle", "west")
RECORD = os.urandom(1000)
RECORDS = 500
PAYLOAD_BYTES = RECORDS * len(RECORD)
CLIENT, PRODUCE, FETCH = "client", "leader_produce", "leader_fetch"
EAST, MIDDLE, WEST = range(3)
FIRST_BYTES_MAX = 4000
"""Of a client's first connection, either way."""

Bytes = tuple[int, int]
"""Sent and received, seen from a gateway."""


class Zones:
    """The cluster, and each zone's number: that of its gateway, its leader and the topic's partition there."""

    def __init__(self, cluster: InProcessCluster, **configs: str) -> None:
        self.cluster = cluster
        self.topic = "spread"
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        admin.create_topics([NewTopic(self.topic, len(ZONES), 1, config=configs)])[self.topic].result(20)
        leaders = [cluster.leader_of(self.topic, number) for number in range(len(ZONES))]
        assert sorted(leader % len(ZONES) for leader in leaders) == [0, 1, 2], "each zone leads a partition"
        self.leaders = {leader % len(ZONES): leader for leader in leaders}
        self.partitions = {leader % len(ZONES): number for number, leader in enumerate(leaders)}

    def gateways(self, number: int) -> dict[tuple[str, str], Bytes]:
        """By link and other end's zone, of the zone's gateway."""
        found = self.cluster.gateway(number).zone_bytes()
        assert {row.zone for row in found} <= {ZONES[number]}
        return {(row.link, row.peer_zone): (row.sent_bytes, row.received_bytes) for row in found}

    def leaders_tcp(self, number: int) -> Bytes:
        """Sent to and received from the zone's leader over TCP, as the leader's own sockets have it."""
        parts = self.cluster.leader(self.leaders[number])._parts
        assert parts is not None
        sockets = [c.traffic for c in parts.listener.connections if ":" in c.peer_name]
        return sum(s.received_bytes for s in sockets), sum(s.sent_bytes for s in sockets)


@pytest.fixture
def zones(tmp_path: Path) -> Iterator[Zones]:
    with running(tmp_path, zones=ZONES, leaders_per_class=len(ZONES)) as cluster:
        yield Zones(cluster)


class Counted:
    """A client's configuration, and what it has sent and received by its own count, by the gateways' numbers.

    librdkafka does not tell of the connection by which it has learnt the brokers, once that is closed.
    """

    def __init__(self, zones: Zones, zone: str, gateway: int) -> None:
        self._numbers = {address: number for number, address in enumerate(zones.cluster.addresses)}
        self.bytes: dict[int, Bytes] = {}
        """Seen from the gateway."""
        self.config: dict[str, Any] = {
            "bootstrap.servers": zones.cluster.addresses[gateway],
            "client.id": f"app,zone={zone}",
            "statistics.interval.ms": 20,
            "stats_cb": self._tell,
            "log_level": 0,
        }

    def _tell(self, statistics: str) -> None:
        brokers = [broker for broker in json.loads(statistics)["brokers"].values() if broker["source"] == "learned"]
        self.bytes = {self._numbers[b["nodename"]]: (b["rxbytes"], b["txbytes"]) for b in brokers if b["txbytes"]}


def _produce(zones: Zones, counted: Counted, partition: int) -> Producer:
    producer = Producer({**counted.config, "enable.idempotence": True, "linger.ms": 20, "compression.type": "none"})
    for _ in range(RECORDS):
        producer.produce(zones.topic, RECORD, partition=partition)
    assert producer.flush(30) == 0
    return producer


def _consumer(zones: Zones, counted: Counted, partition: int) -> Consumer:
    consumer = Consumer({**counted.config, "group.id": "g", "enable.auto.commit": False, "check.crcs": True})
    consumer.assign([TopicPartition(zones.topic, partition, 0)])
    return consumer


def _take(consumer: Consumer, count: int) -> list[bytes]:
    """The next so many records; their offsets are 0, 1, 2, …"""
    found: list[Message] = []
    while len(found) < count:
        found += consumer.consume(count - len(found), timeout=30)
    assert [message.offset() for message in found] == list(range(count))
    return [message.value() for message in found]


def _read(zones: Zones, zone: str, gateway: int, partition: int, count: int) -> list[bytes]:
    consumer = _consumer(zones, Counted(zones, zone, gateway), partition)
    try:
        return _take(consumer, count)
    finally:
        consumer.close()


def _agree(zones: Zones, client: Producer | Consumer, counted: Counted, gateway: int, zone: str) -> None:
    """Client and gateway count the same, but for the client's first connection."""

    def agree() -> bool:
        client.poll(0)
        sent, received = zones.gateways(gateway)[CLIENT, zone]
        known_sent, known_received = counted.bytes.get(gateway, (0, 0))
        return 0 <= sent - known_sent < FIRST_BYTES_MAX and 0 <= received - known_received < FIRST_BYTES_MAX

    until(agree, "client and gateway have counted the same")


def test_records_that_cross_to_their_leader_are_counted_to_the_byte(zones: Zones) -> None:
    counted = Counted(zones, "east", EAST)
    producer = _produce(zones, counted, zones.partitions[MIDDLE])
    crossed = zones.gateways(EAST)[PRODUCE, "middle"]
    assert crossed == zones.leaders_tcp(MIDDLE)
    assert PAYLOAD_BYTES < crossed[0] < 1.05 * PAYLOAD_BYTES
    assert crossed[1] < 0.05 * PAYLOAD_BYTES
    # The client itself stays in its zone.
    _agree(zones, producer, counted, EAST, "east")
    assert set(zones.gateways(EAST)) == {(CLIENT, "east"), (PRODUCE, "middle")}
    for elsewhere in (MIDDLE, WEST):  # where librdkafka may ask for metadata, now and then
        assert max(map(max, zones.gateways(elsewhere).values()), default=0) < FIRST_BYTES_MAX


def test_in_its_own_zone_nothing_of_a_client_crosses(zones: Zones) -> None:
    counted = Counted(zones, "middle", MIDDLE)
    producer = _produce(zones, counted, zones.partitions[MIDDLE])
    _agree(zones, producer, counted, MIDDLE, "middle")
    assert zones.leaders_tcp(MIDDLE) == (0, 0), "it was reached by unix socket"
    found = zones.cluster.gateway(MIDDLE).zone_bytes()
    assert {(row.link, row.crosses) for row in found} == {(CLIENT, False), (PRODUCE, False)}
    assert zones.gateways(MIDDLE)[PRODUCE, "middle"][0] > PAYLOAD_BYTES


def test_the_tail_crosses_from_the_leader_and_the_bootstrap_from_another_zones_gateway(zones: Zones) -> None:
    """A client in the west that knows only the east's address is sent to its own zone, and fetches from the middle's leader."""
    _produce(zones, Counted(zones, "middle", MIDDLE), zones.partitions[MIDDLE])
    counted = Counted(zones, "west", EAST)
    consumer = _consumer(zones, counted, zones.partitions[MIDDLE])
    assert _take(consumer, RECORDS) == [RECORD] * RECORDS
    consumer.unassign()
    _agree(zones, consumer, counted, WEST, "west")
    assert PAYLOAD_BYTES < zones.gateways(WEST)[FETCH, "middle"][1] < 1.05 * PAYLOAD_BYTES
    assert max(zones.gateways(EAST)[CLIENT, "west"]) < FIRST_BYTES_MAX
    consumer.close()


@pytest.fixture
def by_bucket(tmp_path: Path) -> Iterator[Zones]:
    with running(tmp_path, zones=ZONES, leaders_per_class=len(ZONES), default_wal="object") as cluster:
        yield Zones(cluster, **{"raylog.produce.path": "bucket"})


def test_by_the_bucket_only_references_cross(by_bucket: Zones) -> None:
    """Two zones produce to a leader in the third, one of them more than once; all three read what the others wrote."""
    zones, partition = by_bucket, by_bucket.partitions[MIDDLE]
    for zone, gateway in (("east", EAST), ("west", WEST), ("middle", MIDDLE), ("east", EAST)):
        _produce(zones, Counted(zones, zone, gateway), partition)
    for gateway in (EAST, WEST):
        crossed = zones.gateways(gateway)[PRODUCE, "middle"]
        assert 0 < sum(crossed) < 0.02 * PAYLOAD_BYTES, "references and answers"
    for zone, gateway in (("east", EAST), ("west", WEST), ("middle", MIDDLE)):
        before = dict(zones.gateways(gateway))
        assert _read(zones, zone, gateway, partition, 4 * RECORDS) == [RECORD] * (4 * RECORDS)
        if gateway != MIDDLE:
            received = zones.gateways(gateway)[FETCH, "middle"][1] - before.get((FETCH, "middle"), (0, 0))[1]
            assert received < 0.02 * PAYLOAD_BYTES, "read plans"
    assert sum(zones.gateways(MIDDLE).get((PRODUCE, "middle"), (0, 0))) > PAYLOAD_BYTES, (
        "the leader's own zone sends it all"
    )
