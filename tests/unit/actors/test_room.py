"""What the size planner's request becomes as one to Ray's autoscaler."""

import pytest

from actors.nodes import RayNodes
from actors.room import RayRoom, bundles
from controller.scaling.rooms import Request, Room
from raylog.model.config import ClusterConfig
from raylog.model.errors import RetryError

WAL = {"fast": "file:///m?label=disk", "shared": "file:///n?resource=nfs", "cheap": "object:"}
CONFIG = ClusterConfig(wal=WAL, default_wal="cheap")


def asked(*rooms, without=(), **ids):
    return bundles(Request(rooms=rooms, without=without), CONFIG, ids)


def test_a_node_is_asked_for_by_its_cpus():
    assert asked(Room(cpus=4.0), Room(cpus=8.0)) == [({"CPU": 4.0}, {}), ({"CPU": 8.0}, {})]


def test_a_class_that_some_nodes_have_is_asked_for_by_its_resource_or_label():
    [(resources, labels)] = asked(Room(cpus=4.0, mounts={"shared": ""}))
    assert (resources, labels) == ({"CPU": 4.0, "nfs": 0.0001}, {})
    [(resources, labels)] = asked(Room(cpus=4.0, mounts={"fast": "vol-1"}))
    assert (resources, labels) == ({"CPU": 4.0}, {"disk": "vol-1"})


def test_nodes_that_were_emptied_are_no_room():
    [(_, labels)] = asked(Room(cpus=4.0), without=("b", "c", "gone"), b="id-b", c="id-c")
    assert labels == {"ray.io/node-id": "!in(id-b,id-c)"}
    assert asked(Room(cpus=4.0), without=("gone",)) == [({"CPU": 4.0}, {})]


async def test_without_ray_it_is_to_be_asked_again():
    with pytest.raises(RetryError, match="does not answer"):
        await RayRoom(CONFIG, RayNodes(CONFIG)).ask(Request(rooms=(Room(cpus=1.0),)))
