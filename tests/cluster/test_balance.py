"""Balance on real Ray: load that lies on one of three leaders spreads over all of them, and no client notices anything."""

import json
import subprocess
import sys

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.load import until
from tests.harness.steady_producer import SteadyProducer, assert_exactly_what_was_acknowledged

pytestmark = pytest.mark.timeout(300)

TOPIC = "hot"
LEADERS = 3
EACH = 6
CONFIG = """
leaders = 3
[broker]
"leader.imbalance.check.interval.seconds" = 1
"offsets.topic.num.partitions" = 3
[limits.balance]
report_s = 1.0
half_life_s = 1.0
move_bytes_min = 2000
move_partitions_min = 1000
rest_s = 5.0
"""


def raylog(server, *arguments):
    command = [sys.executable, "-m", "raylog.cli.main", *arguments, "--bootstrap-server", server.bootstrap]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def leaders_of(server, partitions):
    seen = [json.loads(raylog(server, "balance", "--explain", f"{TOPIC}:{n}", "--json")) for n in partitions]
    return [one["explanation"]["leader"] for one in seen]


def test_load_spreads_over_three_leaders_and_then_nothing_moves(start_serve, tmp_path):
    config = tmp_path / "raylog.toml"
    config.write_text(CONFIG)
    server = start_serve(None, "--config", str(config))
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(TOPIC, LEADERS * EACH, 1)])[TOPIC].result(60)
    leaders = leaders_of(server, range(LEADERS * EACH))
    hot = [number for number, leader in enumerate(leaders) if leader == leaders[0]]
    assert len(hot) == EACH
    producer = SteadyProducer(server.bootstrap, TOPIC, hot)
    producer.advance()

    def is_level():
        now = leaders_of(server, hot)
        return sorted(now.count(leader) for leader in set(now)) == [2, 2, 2]

    until(is_level, "the load is level")
    until(lambda: not json.loads(raylog(server, "balance", "--json"))["moving"], "the moves are done")
    placed = leaders_of(server, range(LEADERS * EACH))
    producer.advance(500)
    until(lambda: json.loads(raylog(server, "balance", "--json"))["moves"] == [], "nothing is left to move")
    seen = json.loads(raylog(server, "balance", "--json"))
    shared = [row for row in seen["leaders"] if row["wal"] == ["file"]]
    assert len(shared) == LEADERS
    assert all(row["measured"] and row["cpu"] > 0 and row["memory"] > 0 and row["bytes_in"] > 0 for row in shared)
    producer.advance(500)
    assert leaders_of(server, range(LEADERS * EACH)) == placed
    assert_exactly_what_was_acknowledged(server.bootstrap, TOPIC, producer.finish(), hot)
