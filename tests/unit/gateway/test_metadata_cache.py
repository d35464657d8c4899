"""What Metadata shows is kept between requests, and not longer than it is true."""

from dataclasses import replace
from uuid import UUID

import pytest

from gateway.metadata_cache import MetadataCache
from raylog.model.ids import LeaderId, LogEpoch, TopicId
from raylog.model.routing import EMPTY_ROUTING_TABLE, LeaderEndpoint, PartitionRoute, TopicRoute


def topic(number, partitions):
    route = PartitionRoute(leader_id=LeaderId(1), epoch_base=0, adopted=True)
    return TopicRoute(topic_id=TopicId(UUID(int=number)), name=f"t{number}", partitions=(route,) * partitions)


def leader(log_epoch):
    return LeaderEndpoint(
        leader_id=LeaderId(1), log_epoch=LogEpoch(log_epoch), node_id="n", unix_path="", host="h", port=1
    )


class Maker:
    def __init__(self):
        self.made = []

    def __call__(self, version, table, topic, zone):
        self.made.append((version, topic.name))
        return tuple((version, number) for number in range(len(topic.partitions)))


@pytest.fixture
def maker():
    return Maker()


def test_the_same_topic_is_made_once_for_each_version(maker):
    cache, table, t = MetadataCache(100), EMPTY_ROUTING_TABLE, topic(1, 3)
    first = cache.partitions_of(12, table, t, None, maker)
    assert cache.partitions_of(12, table, t, None, maker) is first
    assert cache.partitions_of(9, table, t, None, maker) != first
    # A new table in which nothing of it has changed.
    later = replace(table, version=9, leaders=dict(table.leaders))
    assert cache.partitions_of(12, later, t, None, maker) is first
    assert maker.made == [(12, "t1"), (9, "t1")]


def test_a_changed_topic_and_a_changed_leader_are_made_anew(maker):
    cache, table = MetadataCache(100), replace(EMPTY_ROUTING_TABLE, leaders={LeaderId(1): leader(1)})
    cache.partitions_of(12, table, topic(1, 3), None, maker)
    cache.partitions_of(12, table, topic(1, 4), None, maker)
    assert cache.partitions == 4
    cache.partitions_of(12, replace(table, leaders={LeaderId(1): leader(2)}), topic(1, 4), None, maker)
    assert len(maker.made) == 3


def test_it_holds_no_more_than_its_limit(maker):
    cache, table = MetadataCache(10), EMPTY_ROUTING_TABLE
    for number in range(20):
        assert len(cache.partitions_of(12, table, topic(number, 4), None, maker)) == 4
        assert cache.partitions <= 10
    assert len(cache.partitions_of(12, table, topic(99, 11), None, maker)) == 11
    assert cache.partitions <= 10
