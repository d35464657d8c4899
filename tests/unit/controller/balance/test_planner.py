"""What the planner moves, what it leaves alone, and what it says of both."""

from random import Random

import pytest

from controller.balance.explain import Stay, explain
from controller.balance.plan import Reason, Verdict
from controller.balance.planner import plan
from controller.balance.views import ClusterView, Goals, LeaderView, PartitionName, PartitionView, Standing
from raylog.model.ids import LeaderId

MIB = float(1 << 20)
GOALS = Goals(band=0.2, load_min=0.1 * MIB, counts_min=4, moves_max=50)


def leader(number, *, wals=("file",), capacity=100 * MIB, **values):
    return LeaderView(leader_id=LeaderId(number), wal_classes=frozenset(wals), capacity=capacity, **values)


def led(number, leader_id, load=0.0, *, topic="t", wal="file", **values):
    return PartitionView(
        name=PartitionName(topic, number), leader_id=LeaderId(leader_id), wal_class=wal, load=load * MIB, **values
    )


def view(leaders, partitions, moving=0):
    return ClusterView(leaders=tuple(leaders), partitions=tuple(partitions), moving=moving)


def where(made):
    return {move.name.number: (move.target, move.reason) for move in made.moves}


def verdicts(made):
    return {pool.wal_classes: pool.verdict for pool in made.pools}


def stay(cluster, made, number, topic="t"):
    return explain(cluster, GOALS, made, PartitionName(topic, number)).stay


# -- loads


def test_a_leader_with_all_the_load_gives_half_of_it_away():
    cluster = view([leader(1), leader(2)], [led(n, 1, 2.0) for n in range(4)])
    made = plan(cluster, GOALS)
    assert [(move.source, move.target, move.reason) for move in made.moves] == [(1, 2, Reason.LOAD)] * 2
    assert verdicts(made) == {("file",): Verdict.BALANCED}


def test_leaders_within_the_band_are_left_alone():
    partitions = [led(0, 1, 11.0), led(1, 1, 0.5), led(2, 2, 9.0), led(3, 2, 0.5)]
    cluster = view([leader(1), leader(2)], partitions)
    made = plan(cluster, GOALS)
    assert not made.moves and verdicts(made) == {("file",): Verdict.BALANCED}
    assert stay(cluster, made, 1) is Stay.BALANCED


def test_what_is_out_of_the_band_by_almost_nothing_is_left_alone():
    made = plan(view([leader(1), leader(2)], [led(0, 1, 0.04), led(1, 1, 0.04)]), GOALS)
    assert not made.moves and verdicts(made) == {("file",): Verdict.BALANCED}


def test_a_partition_that_is_the_load_stays_and_its_neighbours_go():
    partitions = [led(0, 1, 50.0), led(1, 1, 4.0), led(2, 1, 3.0), led(3, 2, 5.0)]
    cluster = view([leader(1), leader(2)], partitions)
    made = plan(cluster, GOALS)
    assert where(made) == {1: (2, Reason.LOAD), 2: (2, Reason.LOAD)}
    assert verdicts(made) == {("file",): Verdict.NO_MOVE_PAYS}
    assert stay(cluster, made, 0) is Stay.NO_BETTER_PLACE
    assert stay(cluster, made, 3) is Stay.LEADER_HAS_NOT_TOO_MUCH


def test_a_leader_above_its_capacity_gives_away_what_fits_elsewhere_though_it_is_within_the_band():
    partitions = [*(led(n, 1, 10.5) for n in range(10)), *(led(n, 2, 6.0) for n in range(10, 20))]
    made = plan(view([leader(1), leader(2)], partitions), Goals(band=0.5, load_min=MIB))
    assert [move.reason for move in made.moves] == [Reason.CAPACITY]
    assert not made.pools[0].is_full


def test_a_pool_with_more_load_than_it_can_take_says_so():
    made = plan(view([leader(1), leader(2)], [led(0, 1, 120.0), led(1, 2, 110.0)]), GOALS)
    assert not made.moves and made.pools[0].is_full


def test_a_slow_leader_gets_less():
    partitions = [led(n, 1 + n % 2, 1.0) for n in range(40)]
    made = plan(view([leader(1, capacity=25 * MIB), leader(2)], partitions), GOALS)
    assert all(move.source == 1 for move in made.moves)
    assert 20 - len(made.moves) == pytest.approx(40 * 25 / 125, abs=1)


def test_a_leader_that_has_joined_is_filled_though_the_others_are_within_the_band():
    partitions = [led(n, 1 + n % 10, 1.0) for n in range(100)]
    made = plan(view([leader(n) for n in range(1, 12)], partitions), GOALS)
    assert {move.target for move in made.moves} == {11}
    assert len(made.moves) == pytest.approx(9, abs=1)
    assert len({move.source for move in made.moves}) == len(made.moves), "each gives a little"


def test_nothing_moves_by_load_while_a_leader_is_unmeasured():
    cluster = view([leader(1), leader(2, is_measured=False)], [led(n, 1, 2.0) for n in range(40)])
    made = plan(cluster, GOALS)
    assert not made.moves and verdicts(made) == {("file",): Verdict.UNMEASURED}
    assert stay(cluster, made, 0) is Stay.UNMEASURED


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ({"rests_s": 12.0}, Stay.RESTS),
        ({"pinned": True}, Stay.PINNED),
        ({"is_settled": False}, Stay.ON_ITS_WAY),
    ],
)
def test_what_is_held_does_not_move(held, reason):
    cluster = view([leader(1), leader(2)], [led(n, 1, 2.0, **held) for n in range(4)])
    made = plan(cluster, GOALS)
    assert not made.moves and verdicts(made) == {("file",): Verdict.NO_MOVE_PAYS}
    assert stay(cluster, made, 0) is reason


def test_the_bound_counts_what_is_under_way():
    cluster = view([leader(1), leader(2)], [led(n, 1, 2.0) for n in range(100)], moving=GOALS.moves_max - 3)
    made = plan(cluster, GOALS)
    assert len(made.moves) == 3 and verdicts(made) == {("file",): Verdict.BOUND}
    assert stay(cluster, made, 0) is Stay.BOUND
    assert not plan(view(cluster.leaders, cluster.partitions, moving=1000), GOALS).moves


# -- counts


def test_idle_partitions_are_spread_by_number():
    cluster = view([leader(1), leader(2)], [led(n, 1) for n in range(40)])
    made = plan(cluster, GOALS)
    assert {move.reason for move in made.moves} == {Reason.COUNT}
    assert len(made.moves) == pytest.approx(20, abs=GOALS.counts_min / 2)
    assert verdicts(made) == {("file",): Verdict.BALANCED}


def test_counts_yield_to_loads():
    """One leader has a hot partition and few others, by good reason."""
    partitions = [led(0, 1, 20.0), *(led(n, 2, 0.5) for n in range(1, 41))]
    made = plan(view([leader(1), leader(2)], partitions), GOALS)
    assert not made.moves and verdicts(made) == {("file",): Verdict.BALANCED}


def test_a_few_more_are_no_reason():
    made = plan(view([leader(1), leader(2)], [led(n, 1) for n in range(8)]), GOALS)
    assert not made.moves


# -- constraints


def test_a_leader_that_drains_is_emptied_heaviest_first_and_gets_nothing():
    leaders = [leader(1, standing=Standing.DRAINING), leader(2), leader(3)]
    cluster = view(leaders, [led(0, 1, 1.0), led(1, 1, 3.0), led(2, 1), led(3, 2, 2.0)])
    made = plan(cluster, GOALS)
    assert [(move.name.number, move.target) for move in made.moves][:2] == [(1, 3), (0, 2)]
    assert {move.reason for move in made.moves} == {Reason.DRAINED} and len(made.moves) == 3


def test_resting_and_pinned_partitions_leave_a_leader_that_drains_too():
    leaders = [leader(1, standing=Standing.DRAINING), leader(2)]
    made = plan(view(leaders, [led(0, 1, rests_s=5.0), led(1, 1, pinned=True)]), GOALS)
    assert len(made.moves) == 2


def test_a_leader_that_is_away_keeps_what_it_has_and_gets_nothing():
    leaders = [leader(1, standing=Standing.AWAY), leader(2), leader(3)]
    cluster = view(leaders, [*(led(n, 1, 5.0) for n in range(4)), *(led(n, 2, 5.0) for n in range(4, 8))])
    made = plan(cluster, GOALS)
    assert {(move.source, move.target) for move in made.moves} == {(2, 3)}
    assert stay(cluster, made, 0) is Stay.LEADER_AWAY


def test_a_wal_class_is_served_only_by_those_that_have_it():
    leaders = [leader(1), leader(2, wals=("object",)), leader(3, wals=("file", "object"))]
    cluster = view(leaders, [led(0, 2, 1.0), *(led(n, 1, 5.0) for n in range(1, 7))])
    made = plan(cluster, GOALS)
    assert where(made)[0] == (3, Reason.WAL)
    assert all(move.target == 3 for move in made.moves)
    assert list(verdicts(made)) == [("file", "object")]


def test_a_partition_whose_wal_nobody_has_stays_and_is_told_of():
    cluster = view([leader(1), leader(2)], [led(0, 1, wal="nfs")])
    made = plan(cluster, GOALS)
    assert not made.moves
    assert [(s.wal_class, s.dedicated, s.partitions) for s in made.shortages] == [("nfs", False, 1)]
    assert stay(cluster, made, 0) is Stay.NOBODY_MAY_TAKE_IT


def test_dedicated_partitions_get_leaders_of_their_own_as_far_as_there_are_some():
    leaders = [leader(1), leader(2, dedicated=True), leader(3, dedicated=True)]
    partitions = [*(led(n, 1, 1.0, dedicated=True) for n in range(3)), led(3, 2, topic="other")]
    cluster = view(leaders, partitions)
    made = plan(cluster, GOALS)
    assert sorted((move.name, move.target, move.reason) for move in made.moves if move.name.topic == "t") == [
        (PartitionName("t", 0), 3, Reason.OWN_LEADER)
    ]
    assert [(move.target, move.reason) for move in made.moves if move.name.topic == "other"] == [
        (1, Reason.NOT_FOR_ITSELF)
    ]
    assert [(s.dedicated, s.partitions) for s in made.shortages] == [(True, 2)]
    assert stay(cluster, made, 1) is Stay.NOBODY_MAY_TAKE_IT


def test_two_on_one_dedicated_leader_part():
    leaders = [leader(1, dedicated=True), leader(2, dedicated=True)]
    cluster = view(leaders, [led(n, 1, 1.0, dedicated=True) for n in range(2)])
    made = plan(cluster, GOALS)
    assert where(made) == {1: (2, Reason.OWN_LEADER)}
    assert stay(
        view(leaders, [led(0, 1, dedicated=True)]), plan(view(leaders, [led(0, 1, dedicated=True)]), GOALS), 0
    ) is (Stay.OWN_LEADER)


def test_a_dedicated_partition_stays_on_its_leader_however_hot():
    leaders = [leader(1), leader(2), leader(3, dedicated=True)]
    made = plan(view(leaders, [led(0, 3, 90.0, dedicated=True), led(1, 1, 1.0), led(2, 2, 1.0)]), GOALS)
    assert not made.moves


def test_one_leader_has_nobody_to_give_to():
    cluster = view([leader(1)], [led(n, 1, 30.0) for n in range(4)])
    made = plan(cluster, GOALS)
    assert not made.moves and verdicts(made) == {("file",): Verdict.ONE_LEADER}
    assert stay(cluster, made, 0) is Stay.ONE_LEADER


def test_there_is_no_explanation_of_what_is_not_there():
    cluster = view([leader(1)], [led(0, 1)])
    assert explain(cluster, GOALS, plan(cluster, GOALS), PartitionName("t", 1)) is None


def test_every_partition_of_any_cluster_can_be_explained():
    rng = Random(5)
    for _ in range(200):
        leaders = [
            leader(
                n,
                wals=rng.choice((("file",), ("object",), ("file", "object"))),
                dedicated=rng.random() < 0.2,
                standing=rng.choice((Standing.OPEN, Standing.OPEN, Standing.DRAINING, Standing.AWAY)),
                is_measured=rng.random() < 0.95,
            )
            for n in range(1, rng.randint(2, 8))
        ]
        partitions = [
            led(
                n,
                rng.randint(1, len(leaders)),
                rng.choice((0.0, 0.2, 5.0, 60.0)),
                wal=rng.choice(("file", "object")),
                dedicated=rng.random() < 0.1,
                pinned=rng.random() < 0.1,
                is_settled=rng.random() < 0.9,
                rests_s=rng.choice((0.0, 0.0, 3.0)),
            )
            for n in range(rng.randint(0, 60))
        ]
        cluster = view(leaders, partitions, moving=rng.choice((0, 0, 49)))
        made = plan(cluster, GOALS)
        assert made == plan(cluster, GOALS)
        assert len(made.moves) <= GOALS.moves_max - cluster.moving
        for partition in partitions:
            assert explain(cluster, GOALS, made, partition.name) is not None
