"""Skewed load from real clients: partitions move by themselves until it is level, clients lose nothing, then nothing moves."""

import io
import json
import threading

import pytest

from raylog.cli.main import run
from raylog.model.limits import BalanceLimits, Limits
from tests.harness.steady_producer import PacedProducer, assert_exactly_what_was_acknowledged

LEADERS = 3
EACH = 6
LIMITS = Limits(
    balance=BalanceLimits(report_s=0.4, half_life_s=1.0, move_bytes_min=2_000, move_partitions_min=1_000, rest_s=2.0)
)
BROKER = {"leader.imbalance.check.interval.seconds": "1"}


@pytest.fixture
def cli(capfd, monkeypatch):
    """Run a command line on a cluster; gives what it prints, or its error when it is to fail."""

    def run_cli(cluster, *arguments, fails=False):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
        capfd.readouterr()
        code = run([*arguments, "--bootstrap-server", cluster.bootstrap])
        captured = capfd.readouterr()
        assert (code != 0) == fails, captured
        return captured.err if fails else captured.out

    return run_cli


def hot_partitions(cluster, topic):
    """All of the topic's that one leader has."""
    leaders = [cluster.leader_of(topic, number) for number in range(LEADERS * EACH)]
    return [number for number, leader in enumerate(leaders) if leader == leaders[0]]


def spread(cluster, topic, partitions):
    leaders = [cluster.leader_of(topic, number) for number in partitions]
    return sorted(leaders.count(leader) for leader in set(leaders))


def until(is_so, what):
    pause = threading.Event()
    for _ in range(600):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError(f"it never happened: {what}")


@pytest.mark.parametrize("wal", ["file", "object"])
def test_load_that_lies_on_one_leader_spreads_by_itself(make_cluster, make_topic, cli, wal):
    cluster = make_cluster(leaders_per_class=LEADERS, limits=LIMITS, broker_configs=BROKER)
    topic = make_topic(cluster)(LEADERS * EACH, raylog_wal=wal)
    hot = hot_partitions(cluster, topic)
    assert len(hot) == EACH
    producer = PacedProducer(cluster.bootstrap, topic, hot)
    until(lambda: spread(cluster, topic, hot) == [2, 2, 2], "the load is level")

    def is_at_rest():
        before = [cluster.leader_of(topic, number) for number in range(LEADERS * EACH)]
        producer.advance(100)
        seen = json.loads(cli(cluster, "balance", "--json"))
        after = [cluster.leader_of(topic, number) for number in range(LEADERS * EACH)]
        return after == before and not seen["moving"] and not seen["moves"]

    # A machine that stops for a moment makes a load look otherwise, so it may come to rest later.
    until(is_at_rest, "nothing moves any more")
    assert f"{topic}:{hot[0]} is led by leader " in cli(cluster, "balance", "--explain", f"{topic}:{hot[0]}")
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish(), hot)


def test_load_stays_where_it_is_when_that_is_wanted_and_moves_when_asked(make_cluster, make_topic, cli):
    broker = {**BROKER, "auto.leader.rebalance.enable": "false"}
    cluster = make_cluster(leaders_per_class=LEADERS, limits=LIMITS, broker_configs=broker)
    topic = make_topic(cluster)(LEADERS * EACH)
    hot = hot_partitions(cluster, topic)
    producer = PacedProducer(cluster.bootstrap, topic, hot)
    until(lambda: len(json.loads(cli(cluster, "balance", "--json"))["moves"]) == 4, "moves are planned")
    assert spread(cluster, topic, hot) == [EACH]
    shown = cli(cluster, "balance", "--dry-run", "--now", "--explain")
    assert "would move" in shown and "the mean is" in shown
    assert spread(cluster, topic, hot) == [EACH]
    moved = json.loads(cli(cluster, "balance", "--now", "--json"))["moved"]
    assert {one["topic"] for one in moved} == {topic} and len(moved) == 4
    until(lambda: spread(cluster, topic, hot) == [2, 2, 2], "the load is level")
    producer.advance(50)
    assert_exactly_what_was_acknowledged(cluster.bootstrap, topic, producer.finish(), hot)


def test_mistakes_are_told_with_the_remedy(make_cluster, make_topic, cli):
    cluster = make_cluster()
    topic = make_topic(cluster)(1)
    assert "Add --explain to hear why" in cli(cluster, "balance", topic, fails=True)
    assert "it is written as topic:number. 'raylog topics list' shows what there is." in cli(
        cluster, "balance", "--explain", topic, fails=True
    )
    assert "It stays: " in cli(cluster, "balance", "--explain", f"{topic}:0")
    assert "Nothing would move" not in cli(cluster, "balance"), "that is for the person at the terminal"
