"""Bytes by zones: what goes over the sockets, counted from their first byte on, where both ends' zones are known."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from gateway.cluster_view import node_zone, said_zone
from gateway.metrics import GatewayMetrics
from gateway.zone_traffic import Link, ZoneBytes, ZoneTraffic, added_up
from raylog.model.ids import BrokerId
from raylog.model.routing import EMPTY_ROUTING_TABLE, BrokerEndpoint
from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.framing import FrameProtocol
from raylog.protocol.wire import encode_request
from tests.unit.gateway.conftest import NODE
from tests.unit.gateway.test_produce import BATCH, log, produce

EAST = BrokerEndpoint(broker_id=BrokerId(1), host="h", port=1, rack="east", node_id=NODE)
WEST = BrokerEndpoint(broker_id=BrokerId(2), host="h", port=2, rack="west", node_id="node-b")
PLACELESS = BrokerEndpoint(broker_id=BrokerId(3), host="h", port=3, node_id="node-c")
TABLE = replace(EMPTY_ROUTING_TABLE, brokers=(EAST, WEST, PLACELESS))

LARGE = encode_batch([Record(value=bytes(200_000), timestamp_ms=1)])


def zone_bytes(link, peer_zone, sent, received, zone="east"):
    return ZoneBytes(link=link, zone=zone, peer_zone=peer_zone, sent_bytes=sent, received_bytes=received)


def traffic(zone):
    registry = CollectorRegistry()
    return ZoneTraffic(zone, GatewayMetrics(registry, ()).zone_bytes), registry


def used(sent=0, received=0):
    connection = FrameProtocol(max_frame_bytes=100)
    connection.traffic.sent_bytes, connection.traffic.received_bytes = sent, received
    return connection


def test_a_connection_brings_what_it_has_counted_and_shares_from_then_on():
    zones, _ = traffic("east")
    first, second, own = used(10, 20), used(1, 2), used(5, 5)
    zones.count(first, Link.LEADER_FETCH, "west")
    zones.count(second, Link.LEADER_FETCH, "west")
    zones.count(own, Link.LEADER_FETCH, "east")
    second.traffic.sent_bytes += 100
    first.traffic.received_bytes += 1000
    crossing, staying = zones.totals()
    assert crossing == zone_bytes("leader_fetch", "west", 111, 1022)
    assert staying == zone_bytes("leader_fetch", "east", 5, 5)
    assert (crossing.crosses, staying.crosses) == (True, False)


def test_each_byte_is_published_once():
    zones, registry = traffic("east")
    connection = used(7, 0)
    zones.count(connection, Link.CLIENT, "west")
    zones.publish()
    zones.publish()
    connection.traffic.received_bytes += 3
    zones.publish()
    labels = {"link": "client", "zone": "east", "peer_zone": "west", "crosses": "yes"}
    for direction, size_bytes in (("sent", 7), ("received", 3)):
        named = {**labels, "direction": direction}
        assert registry.get_sample_value("raylog_gateway_zone_bytes_total", named) == size_bytes


def test_a_gateway_in_no_zone_counts_nothing():
    zones, _ = traffic(None)
    connection = used(7, 7)
    zones.count(connection, Link.CLIENT, "west")
    assert zones.totals() == []


def test_gateways_are_added_up_by_link_and_zones():
    found = [
        zone_bytes("client", "west", 1, 2),
        zone_bytes("client", "west", 10, 20),
        zone_bytes("client", "east", 5, 5),
    ]
    assert added_up(found) == [zone_bytes("client", "east", 5, 5), zone_bytes("client", "west", 11, 22)]


@pytest.mark.parametrize(
    ("client_id", "zone"), [("app,zone=west", "west"), ("app", None), ("", None), ("zone=made-up", None)]
)
def test_a_client_is_where_it_says_if_a_broker_is_there(client_id, zone):
    assert said_zone(TABLE, client_id) == zone


@pytest.mark.parametrize(("node", "zone"), [(NODE, "east"), ("node-b", "west"), ("node-c", None), ("gone", None)])
def test_a_node_is_where_its_broker_is(node, zone):
    assert node_zone(TABLE, node) == zone


async def test_what_goes_over_a_gateways_sockets_is_counted_to_the_byte(make_world):
    world = await make_world(zone="east")
    world.controller.publish(brokers=(*world.controller.table.brokers, WEST))
    leader = await world.leader(1, log())
    await world.topic("t", [1])
    client = await world.client()
    client.client_id = "app,zone=west"
    requests = [produce({("t", 0): records}) for records in (BATCH, BATCH, LARGE)]
    sent = received = 0
    for request in requests:
        client.send(request)
        sent += sum(map(len, encode_request(request, correlation_id=1, client_id=client.client_id)))
        received += 4 + len(await client.receive_frame())
    (connection,) = leader.connections
    assert world.gateway.zone_bytes() == [
        zone_bytes("client", "west", received, sent),
        zone_bytes("leader_produce", "east", connection.traffic.received_bytes, connection.traffic.sent_bytes),
    ]
    assert connection.traffic.received_bytes > 200_000


async def test_a_leader_is_counted_from_its_first_byte_as_soon_as_its_zone_is_known(make_world):
    world = await make_world(zone="east")
    here = world.controller.table.brokers
    world.controller.publish(brokers=(WEST,))
    leader = await world.leader(1, log())
    await world.topic("t", [1])
    client = await world.client()
    await client.ask(produce({("t", 0): BATCH}))
    assert world.gateway.zone_bytes() == []
    world.controller.publish(brokers=here)
    await world.until(lambda: bool(world.gateway.zone_bytes()))
    (connection,) = leader.connections
    assert world.gateway.zone_bytes() == [
        zone_bytes("leader_produce", "east", connection.traffic.received_bytes, connection.traffic.sent_bytes)
    ]
