"""Real clients against a cluster in this process (tests/harness). Tests that break nothing share one cluster per module."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_names = itertools.count()


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two leaders per WAL class, two gateways that are brokers of their own."""
    from tests.harness.cluster import running

    folder: Path = tmp_path_factory.mktemp("cluster")
    with running(folder, gateways=2) as cluster:
        yield cluster


@pytest.fixture
def new_topic(shared_cluster: Any) -> Callable[..., str]:
    """Creates topics on the shared cluster; gives their names, which no other test has."""
    return topic_maker(shared_cluster)


def topic_maker(cluster: Any) -> Callable[..., str]:
    from confluent_kafka.admin import AdminClient, NewTopic

    def make(partitions: int = 1, **configs: str) -> str:
        name = f"topic-{next(_names)}"
        config = {key.replace("_", "."): value for key, value in configs.items()}
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        created = admin.create_topics([NewTopic(name, partitions, 1, config=config)])
        created[name].result(20)
        return name

    return make


@pytest.fixture
def make_topic() -> Callable[..., Callable[..., str]]:
    """``make_topic(cluster)`` gives a ``new_topic`` for a cluster of the test's own."""
    return topic_maker
