"""Balance on real Ray: load that lies on one of three leaders spreads over all of them, and no client notices anything."""

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from raylog.cli.balance import look
from raylog.cli.client import Cluster
from tests.harness.load import until
from tests.harness.steady_producer import PacedProducer, assert_exactly_what_was_acknowledged

pytestmark = pytest.mark.timeout(300)

TOPIC = "hot"
LEADERS = 3
EACH = 6
PATIENCE_S = 120
CONFIG = """
leaders = 3
[broker]
"leader.imbalance.check.interval.seconds" = 1
"leader.imbalance.per.broker.percentage" = 40
"offsets.topic.num.partitions" = 3
[limits.balance]
report_s = 1.0
half_life_s = 5.0
move_bytes_min = 2000
move_partitions_min = 1000
rest_s = 5.0
"""


def seen(server, partition=""):
    """What ``raylog balance`` shows, or says of a partition; asked from here, as a process for each question takes a second."""
    return look(Cluster(bootstrap=server.bootstrap, timeout_s=30), partition)


def leaders_of(server, partitions):
    return [seen(server, f"{TOPIC}:{number}")["explanation"]["leader"] for number in partitions]


def test_load_spreads_over_three_leaders_and_then_nothing_moves(start_serve, tmp_path):
    config = tmp_path / "raylog.toml"
    config.write_text(CONFIG)
    server = start_serve(None, "--config", str(config))
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(TOPIC, LEADERS * EACH, 1)])[TOPIC].result(60)
    leaders = leaders_of(server, range(LEADERS * EACH))
    hot = [number for number, leader in enumerate(leaders) if leader == leaders[0]]
    assert len(hot) == EACH
    producer = PacedProducer(server.bootstrap, TOPIC, hot)
    producer.advance(20, PATIENCE_S)

    def is_level():
        now = leaders_of(server, hot)
        return sorted(now.count(leader) for leader in set(now)) == [2, 2, 2]

    def is_at_rest():
        now = seen(server)
        return not now["moving"] and not now["moves"]

    def are_measured():
        shared = [row for row in seen(server)["leaders"] if row["wal"] == ["file"]]
        assert len(shared) == LEADERS
        return all(row["measured"] and row["cpu"] > 0 and row["memory"] > 0 and row["bytes_in"] > 0 for row in shared)

    until(is_level, "the load is level")
    until(are_measured, "each leader has told its load")
    until(is_at_rest, "nothing is left to move")
    assert is_level()
    placed = leaders_of(server, range(LEADERS * EACH))
    producer.advance(200, PATIENCE_S)
    assert leaders_of(server, range(LEADERS * EACH)) == placed
    assert_exactly_what_was_acknowledged(server.bootstrap, TOPIC, producer.finish(), hot)
