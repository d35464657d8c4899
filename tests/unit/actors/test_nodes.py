"""What Raylog makes of Ray's table of nodes, and what it asks of Ray for a leader."""

import pytest

from actors.launcher import leader_placement
from actors.nodes import read_nodes
from actors.this_node import advertised_address
from raylog.model.config import ClusterConfig, HostPort

WAL = {"fast": "file:///m?label=disk", "shared": "file:///n?resource=nfs", "cheap": "object:"}
CONFIG = ClusterConfig(listen="0.0.0.0:9092", wal=WAL, default_wal="cheap", rack="home")


def row(ray_id, address="10.0.0.1", *, alive=True, name="", cpus=8.0, resources=None, **labels):
    return {
        "NodeID": ray_id,
        "Alive": alive,
        "NodeManagerAddress": address,
        "NodeName": name or address,
        "Resources": {"CPU": cpus, **(resources or {})} if alive else {},
        "Labels": {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()},
    }


def read(*rows, draining=(), config=CONFIG, known=()):
    return read_nodes(rows, draining, config, known)


def test_a_node_without_labels_goes_by_its_address():
    [found] = read(row("r1"))
    assert (found.ray_id, found.gateways) == ("r1", 2)
    assert (found.node.name, found.node.address, found.node.zone) == ("10.0.0.1", "10.0.0.1:9092", "home")
    assert (found.node.leaders, found.node.cpus, found.node.mounts) == (4, 8.0, {"cheap": ""})
    assert not found.node.is_head
    [head] = read(row("r1", resources={"node:__internal_head__": 1.0}))
    assert head.node.is_head


def test_labels_say_a_nodes_name_zone_and_port():
    [found] = read(row("r1", raylog_io__node="a", raylog_io__port="9999", raylog_io__zone="eu-1a"))
    assert (found.node.name, found.node.address, found.node.zone) == ("a", "10.0.0.1:9999", "eu-1a")
    [named] = read(row("r1", name="given-at-start"))
    assert named.node.name == "given-at-start"


def test_the_numbers_in_the_configuration_go_before_those_of_the_cpus():
    [found] = read(row("r1", cpus=0), config=ClusterConfig(wal=WAL, leaders=3, gateways=5))
    assert (found.node.leaders, found.gateways) == (3, 5)
    [least] = read(row("r1", cpus=0))
    assert (least.node.leaders, least.gateways) == (1, 1)


def test_a_class_is_on_the_nodes_that_have_its_label_or_its_resource():
    labelled, shared = read(row("r1", "1", disk="vol-7"), row("r2", "2", resources={"nfs": 1.0}))
    assert labelled.node.mounts == {"fast": "vol-7", "cheap": ""}
    assert shared.node.mounts == {"shared": "", "cheap": ""}


def test_dead_nodes_are_left_out_and_draining_ones_are_said_to_be():
    alive, leaving = read(row("r1", "1"), row("r2", "2"), row("r3", "3", alive=False), draining={"r2"})
    assert [(each.node.name, each.node.is_draining) for each in (alive, leaving)] == [("1", False), ("2", True)]


def test_of_two_nodes_of_one_name_the_known_one_is_meant():
    """A node that has come back, before Ray has seen it go."""
    for rows in ((row("old"), row("new")), (row("new"), row("old"))):
        assert [found.ray_id for found in read(*rows, known={"old"})] == ["old"]
    assert [found.ray_id for found in read(row("new"), row("old", alive=False), known={"old"})] == ["new"]


@pytest.mark.parametrize(
    ("listen", "advertise", "labels", "expected"),
    [
        ("0.0.0.0:9092", "", {}, HostPort(host="10.0.0.7", port=9092)),
        ("10.1.1.1:9092", "", {}, HostPort(host="10.1.1.1", port=9092)),
        ("0.0.0.0:9092", "lb.example:19092", {}, HostPort(host="lb.example", port=19092)),
        ("0.0.0.0:9092", "", {"raylog.io/host": "a.example"}, HostPort(host="a.example", port=9092)),
        ("0.0.0.0:9092", "lb.example:1", {"raylog.io/host": "a.example"}, HostPort(host="a.example", port=9092)),
        ("0.0.0.0:9092", "", {"raylog.io/port": "7"}, HostPort(host="10.0.0.7", port=7)),
    ],
)
def test_what_clients_of_a_node_connect_to(listen, advertise, labels, expected):
    config = ClusterConfig(listen=listen, advertise=advertise)
    assert advertised_address(config, labels, "10.0.0.7") == expected


def test_a_leader_is_bound_to_its_mount_and_prefers_its_node():
    assert leader_placement({}, "", None) == {}
    assert leader_placement({"disk": "v"}, "", None) == {"label_selector": {"disk": "v"}}
    assert leader_placement({"disk": "v"}, "", "r1") == {
        "label_selector": {"disk": "v", "ray.io/node-id": "r1"},
        "fallback_strategy": [{"label_selector": {"disk": "v"}}],
    }
    assert leader_placement({}, "nfs", None) == {"resources": {"nfs": 0.0001}}
    [fallback] = leader_placement({}, "", "r1")["fallback_strategy"]
    assert fallback == {"label_selector": {"ray.io/node-id": "!in(none)"}}, "any node"
