"""The planner's view of the cluster, made from the metadata and from what is known of loads. The one place that knows both."""

from collections.abc import Callable

from controller.balance.book import LoadBook
from controller.balance.views import ClusterView, LeaderView, PartitionName, PartitionView, Standing
from controller.rules import ClusterRules
from controller.state import LeaderState, MetadataState, TopicState
from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.topic_config import wants_dedicated_leaders


def observe(
    state: MetadataState,
    rules: ClusterRules,
    book: LoadBook,
    is_there: Callable[[LeaderId], bool],
    *,
    capacity: float,
) -> ClusterView:
    """``capacity`` is that of a leader on a usual node. A leader that nobody needs is open, running or not: it is started for
    what it is given."""
    leaders = tuple(_leader(state, leader, rules, book, is_there, capacity) for leader in state.leaders.values())
    partitions = tuple(view for topic in state.topics.values() for view in _partitions(topic, state, book))
    moving = sum(not partition.is_settled for partition in partitions)
    return ClusterView(leaders=leaders, partitions=partitions, moving=moving)


def _leader(
    state: MetadataState,
    leader: LeaderState,
    rules: ClusterRules,
    book: LoadBook,
    is_there: Callable[[LeaderId], bool],
    capacity: float,
) -> LeaderView:
    leader_id, at = leader.leader_id, leader.endpoint
    is_idle = not state.is_needed(leader_id)
    can_serve = is_there(leader_id) or (is_idle and leader.wal_class in rules.wal_classes)
    return LeaderView(
        leader_id=leader_id,
        node="" if at is None else at.node_id,
        wal_classes=frozenset({leader.wal_class}),
        capacity=capacity * book.speed(leader_id),
        dedicated=leader.dedicated,
        standing=Standing.OPEN if can_serve else Standing.AWAY,
        is_measured=is_idle or (at is not None and book.leader(leader_id, at.log_epoch) is not None),
    )


def _partitions(topic: TopicState, state: MetadataState, book: LoadBook) -> list[PartitionView]:
    wal_class = state.leaders[topic.partitions[0].leader_id].wal_class
    dedicated = wants_dedicated_leaders(topic.configs)
    views = []
    for number, partition in enumerate(topic.partitions):
        place = TopicPartition(topic.topic_id, number)
        leader_id = partition.leader_id if partition.moving_to is None else partition.moving_to
        views.append(
            PartitionView(
                name=PartitionName(topic.name, number),
                leader_id=leader_id,
                wal_class=wal_class,
                load=book.load(place, leader_id),
                dedicated=dedicated,
                is_settled=partition.moving_to is None and partition.epoch_base is not None,
                rests_s=book.rests_s(place),
            )
        )
    return views
