"""``raylog lab run`` against a cluster that runs already: it is loaded and judged, and left as it was."""

import subprocess
import sys

from confluent_kafka.admin import AdminClient, NewTopic

from lab.report.stored import outcome_of

EXPERIMENT = """\
title: On a running cluster
seconds: 3
cluster: {{kind: running, bootstrap: '{bootstrap}'}}
topics:
  - {{name: lab-orders, partitions: 2, config: {{raylog.wal: file}}}}
load:
  - {{topic: lab-orders, shape: skewed, rate: 100, members: 1}}
"""


def _lab_run(folder, bootstrap):
    (folder / "mine.yaml").write_text(EXPERIMENT.format(bootstrap=bootstrap))
    command = ("lab", "run", folder / "mine.yaml", "--report", folder / "mine.html")
    return subprocess.run(
        [sys.executable, "-m", "raylog.cli.main", *command], capture_output=True, text=True, timeout=240, check=False
    )


def _topics(bootstrap):
    return set(AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=30).topics)


def test_a_running_cluster_is_loaded_and_left_as_it_was(cluster, tmp_path):
    before = _topics(cluster.bootstrap)
    done = _lab_run(tmp_path, cluster.bootstrap)
    assert done.returncode == 0, done.stderr
    outcome = outcome_of(tmp_path / "mine.html")
    assert outcome.is_sound
    assert outcome.counts["acknowledged"] == outcome.counts["sent"] == outcome.counts["read"] > 0
    assert outcome.series["nodes"][-1] == 1
    assert outcome.request_totals == {}, "nobody said where its counters are"
    assert _topics(cluster.bootstrap) - {"__consumer_offsets"} == before - {"__consumer_offsets"}


def test_a_topic_of_somebody_else_is_left_alone(cluster, tmp_path):
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic("lab-orders", 1)])["lab-orders"].result(60)
    done = _lab_run(tmp_path, cluster.bootstrap)
    assert done.returncode == 1
    assert "Topic 'lab-orders' cannot be made" in done.stderr
    assert "lab-orders" in _topics(cluster.bootstrap)
