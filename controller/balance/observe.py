"""The planner's view of the cluster, made from the metadata and from what is known of loads. The one place that knows both.

In two steps, as a hundred thousand partitions take a second: ``sight`` is quick and for the controller's loop; what it gives
does not change any more, so that ``view_of`` may be called in another thread.
"""

from collections.abc import Callable
from typing import NamedTuple

from controller.balance.book import LoadBook, Page
from controller.balance.views import ClusterView, LeaderView, PartitionName, PartitionView, Standing
from controller.nodes import surplus, waits_for_a_node
from controller.rules import ClusterRules
from controller.state import LeaderState, MetadataState, TopicState
from raylog.model.ids import LeaderId, TopicPartition
from raylog.model.topic_config import wants_dedicated_leaders


class Sight(NamedTuple):
    leaders: tuple[LeaderView, ...]
    topics: tuple[tuple[str, TopicState], ...]
    """With their WAL classes."""
    page: Page


def sight(
    state: MetadataState,
    rules: ClusterRules,
    book: LoadBook,
    is_there: Callable[[LeaderId], bool],
    is_resting: Callable[[LeaderId], bool],
    *,
    capacity: float,
) -> Sight:
    """``capacity`` is that of a leader on a usual node. A leader that nobody needs, or that rests, is open, running or not: it is
    started for what it is given."""
    too_many = surplus(state, rules.nodes)
    return Sight(
        leaders=tuple(
            _leader(state, leader, rules, book, is_there, is_resting, leader.leader_id in too_many, capacity)
            for leader in state.leaders.values()
        ),
        topics=tuple(
            (state.leaders[topic.partitions[0].leader_id].wal_class, topic) for topic in state.topics.values()
        ),
        page=book.page(),
    )


def view_of(seen: Sight) -> ClusterView:
    partitions = [view for wal_class, topic in seen.topics for view in _partitions(topic, wal_class, seen.page)]
    moving = sum(not partition.is_settled for partition in partitions)
    return ClusterView(leaders=seen.leaders, partitions=tuple(partitions), moving=moving)


def _leader(
    state: MetadataState,
    leader: LeaderState,
    rules: ClusterRules,
    book: LoadBook,
    is_there: Callable[[LeaderId], bool],
    is_resting: Callable[[LeaderId], bool],
    is_surplus: bool,
    capacity: float,
) -> LeaderView:
    leader_id, at = leader.leader_id, leader.endpoint
    is_idle = not state.is_needed(leader_id) or is_resting(leader_id)
    can_serve = is_there(leader_id) or (is_idle and _can_start(leader, rules))
    return LeaderView(
        leader_id=leader_id,
        node=leader.node if at is None else at.node_id,
        wal_classes=frozenset({leader.wal_class}),
        capacity=capacity * book.speed(leader_id),
        dedicated=leader.dedicated,
        standing=_standing(state, leader, is_surplus) if can_serve else Standing.AWAY,
        is_measured=is_idle or (at is not None and book.leader(leader_id, at.log_epoch) is not None),
    )


def _can_start(leader: LeaderState, rules: ClusterRules) -> bool:
    """Whether it would be where it belongs, and have its WAL. One whose node is gone belongs nowhere until it is placed anew."""
    if leader.wal_class not in rules.wal_classes:
        return False
    has_place = leader.dedicated or not rules.nodes or any(node.name == leader.node for node in rules.nodes)
    return has_place and not waits_for_a_node(leader, rules.nodes)


def _standing(state: MetadataState, leader: LeaderState, is_surplus: bool) -> Standing:
    if leader.node in state.draining:
        return Standing.DRAINING
    return Standing.SURPLUS if is_surplus else Standing.OPEN


def _partitions(topic: TopicState, wal_class: str, page: Page) -> list[PartitionView]:
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
                load=page.load(place, leader_id),
                dedicated=dedicated,
                is_settled=partition.moving_to is None and partition.epoch_base is not None,
                rests_s=page.rests_s(place),
            )
        )
    return views
