"""What is asked for: a room for each node that is to be there or is being emptied, but not for those that are empty."""

from collections import Counter

from controller.scaling.need import need_of
from controller.scaling.rooms import Room, request_for
from controller.scaling.views import ClusterSight, Demand, Kind, NodeView, SizeGoals, Standing

GOALS = SizeGoals(nodes_min=1, nodes_max=99)


def node(name, cpus=4.0, standing=Standing.SERVES, *, is_head=False, **mounts):
    return NodeView(name=name, cpus=cpus, standing=standing, is_head=is_head, mounts={"file": "", **mounts})


def asked(nodes, wanted, **uses):
    demands = tuple(Demand(kind=Kind.LOAD, wal_class=name, use=use) for name, use in uses.items())
    sight = ClusterSight(nodes=tuple(nodes), demands=demands)
    return request_for(sight, need_of(sight, GOALS), wanted)


def rooms(request):
    return Counter((room.cpus, *sorted(room.mounts.items())) for room in request.rooms)


def test_each_node_that_is_there_is_asked_for_as_it_is_and_further_ones_as_most_are():
    nodes = [node("head", 2.0, is_head=True), node("a", 8.0), node("b"), node("c")]
    assert rooms(asked(nodes, 4)) == {(2.0,): 1, (8.0,): 1, (4.0,): 2}
    assert rooms(asked(nodes, 6)) == {(2.0,): 1, (8.0,): 1, (4.0,): 4}


def test_a_node_is_given_back_when_it_is_empty_and_not_before():
    head, a = node("head", is_head=True), node("a")
    assert rooms(asked([head, a, node("b", standing=Standing.LEAVING)], 2)) == {(4.0,): 3}
    request = asked([head, a, node("b", standing=Standing.LEFT)], 2)
    assert (rooms(request), request.without) == ({(4.0,): 2}, ("b",))


def test_what_an_operator_drains_is_not_given_back_and_no_room_either():
    assert rooms(asked([node("a"), node("b", standing=Standing.DRAINED)], 2)) == {(4.0,): 3}


def test_of_a_head_without_cpus_nothing_is_asked_and_further_nodes_are_as_the_others():
    head = node("head", 0.0, is_head=True)
    assert rooms(asked([head, node("a")], 3)) == {(4.0,): 2}
    assert rooms(asked([head], 2)) == {(1.0,): 1}


def test_a_class_that_only_some_have_is_asked_for_where_it_is_and_where_it_is_needed():
    nodes = [node("a"), node("b", nfs="vol"), node("c", nfs="vol")]
    plain, with_nfs = (4.0,), (4.0, ("nfs", "vol"))
    assert rooms(asked(nodes, 3, nfs=0.5)) == {plain: 1, with_nfs: 2}
    assert rooms(asked(nodes, 5, nfs=1.0)) == {plain: 1, with_nfs: 4}
    assert rooms(asked(nodes, 5, nfs=0.5)) == {plain: 3, with_nfs: 2}


def test_nobody_is_asked_for_another_node_with_a_disk_that_one_node_has():
    nodes = [node("a", disk="a"), node("b", disk="b"), node("c")]
    request = asked(nodes, 5, disk=1.0)
    assert request.rooms[3:] == (Room(cpus=4.0), Room(cpus=4.0))
    assert rooms(request)[4.0, ("disk", "a")] == 1


def test_a_class_by_resource_is_asked_for_without_a_mount():
    assert asked([node("a"), node("b", nfs="")], 3, nfs=1.0).rooms[-1] == Room(cpus=4.0, mounts={"nfs": ""})
