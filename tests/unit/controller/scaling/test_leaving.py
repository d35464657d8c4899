"""Which node goes: the least loaded that may, and of equals the youngest."""

from dataclasses import replace

from controller.scaling.leaving import Stays, next_to_leave, why_it_stays
from controller.scaling.need import Need
from controller.scaling.views import ClusterSight, NodeView, Standing

NEED = Need(nodes=1, unbounded=1, demand=None)
A = NodeView(name="a", mounts={"file": ""}, use=0.3, age_s=100.0)
B = replace(A, name="b", use=0.1)
C = replace(A, name="c", use=0.2)


def leaves(*nodes, need=NEED):
    found = next_to_leave(ClusterSight(nodes=nodes, demands=()), need)
    return None if found is None else found.name


def stays(node, *others, need=NEED):
    return why_it_stays(ClusterSight(nodes=(node, *others), demands=()), need, node)


def test_the_least_loaded_goes():
    assert leaves(A, B, C) == "b"


def test_of_equally_loaded_ones_that_with_fewer_partitions_goes_and_then_the_youngest():
    assert leaves(replace(A, partitions=3), replace(A, name="b", partitions=2)) == "b"
    assert leaves(A, replace(A, name="b", age_s=5.0), replace(A, name="c", age_s=9.0)) == "b"


def test_the_head_and_the_controllers_node_stay():
    assert leaves(A, replace(B, is_head=True), replace(C, has_controller=True)) == "a"
    assert leaves(replace(A, is_head=True), replace(B, has_controller=True)) is None
    assert stays(replace(A, is_head=True, has_controller=True), B) is Stays.HEAD
    assert stays(replace(A, has_controller=True), B) is Stays.CONTROLLER


def test_the_only_node_that_takes_a_class_stays():
    fast = replace(C, mounts={"file": "", "fast": "disk-c"})
    assert stays(replace(B, mounts={"file": "", "fast": "disk-b"}), A) is Stays.ONLY_TAKER
    assert stays(fast, A, replace(B, mounts=fast.mounts, standing=Standing.DRAINED)) is Stays.ONLY_TAKER


def test_a_node_with_a_disk_of_its_own_may_go_where_others_take_the_class():
    own = replace(B, mounts={"file": "", "fast": "disk-b"})
    assert stays(own, A, replace(C, mounts={"file": "", "fast": "disk-c"})) is None


def test_a_node_with_a_class_of_which_so_many_are_needed_stays():
    nfs = {"file": "", "nfs": ""}
    need = replace(NEED, by_class={"nfs": 2})
    b, c = replace(B, mounts=nfs), replace(C, mounts=nfs)
    assert stays(b, A, c, need=need) is Stays.CLASS_NEEDED
    assert leaves(A, b, c, need=need) == "a"
    assert stays(b, A, c, need=replace(NEED, by_class={"nfs": 1})) is None


def test_the_last_one_stays():
    assert leaves(A, replace(B, standing=Standing.LEAVING)) is None


def test_what_drains_already_is_not_chosen_again():
    assert leaves(A, replace(B, standing=Standing.LEAVING), C) == "c"
