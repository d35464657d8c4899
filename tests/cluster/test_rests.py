"""A real server that nobody uses has no leader's process, and has one again for the first request."""

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.load import until
from tests.harness.steady_producer import read_all

TOPIC = "seldom"
CONFIG = """
[broker]
"raylog.leader.idle.ms" = 1000
[limits.balance]
report_s = 0.5
"""


def test_leaders_end_that_nobody_asks_for_anything_and_come_back(start_serve, tmp_path):
    config = tmp_path / "raylog.toml"
    config.write_text(CONFIG)
    server = start_serve(None, "--config", str(config))
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(60)
    producer = Producer({"bootstrap.servers": server.bootstrap, "enable.idempotence": True})
    for number in range(3):
        until(lambda: not server.processes("LeaderActor"), "every leader rests")
        producer.produce(TOPIC, b"%d" % number, partition=0)
        assert producer.flush(90) == 0
        assert server.processes("LeaderActor")
    until(lambda: not server.processes("LeaderActor"), "every leader rests")
    assert read_all(server.bootstrap, TOPIC, [0]) == {0: [b"0", b"1", b"2"]}
