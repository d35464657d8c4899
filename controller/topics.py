"""What becomes of requests to create, enlarge and delete topics: decided on the state, with Kafka's error codes.

Pure: each function answers with records to write, or raises Refused. The topics of one request are decided one by one, each on
the state that the one before has left.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from controller.placement import place
from controller.records import PartitionsAdded, Record, TopicCreated, TopicDeleted
from controller.rules import ClusterRules, Refused
from controller.state import MetadataState, TopicState
from controller.topic_name import INTERNAL_TOPICS, check_topic_name, collision_key
from raylog.model import topic_config
from raylog.model.admin import NewTopic, TopicSelector
from raylog.model.broker_config import BROKER_CONFIGS
from raylog.model.errors import InvalidError
from raylog.model.ids import TopicId
from raylog.model.routing import GroupsTopic

_PARTITION_COUNT_SETTING = {
    GroupsTopic: "offsets.topic.num.partitions",
    "__transaction_state": "transaction.state.log.num.partitions",
}
_INTERNAL_CONFIGS = {"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    records: tuple[Record, ...]
    topic_id: TopicId
    name: str
    partition_count: int
    configs: dict[str, str]


def create_topic(state: MetadataState, rules: ClusterRules, topic: NewTopic, topic_id: TopicId) -> Decided:
    """A new topic with its partitions placed. An internal topic gets its own settings, whatever was asked for."""
    _check_new_name(state, topic.name)
    internal = topic.name in INTERNAL_TOPICS
    if internal:
        setting = _PARTITION_COUNT_SETTING[topic.name]
        default = BROKER_CONFIGS[setting].default
        count = int(rules.merged_broker_configs(state).get(setting, default) or 1)
        configs = _INTERNAL_CONFIGS
    else:
        count = _partition_count(state, rules, topic)
        configs = _checked_configs(topic.configs)
    settings = topic_config.effective(configs, rules.merged_broker_configs(state))
    wal_class = settings.wal or rules.default_wal
    if wal_class not in rules.wal_classes:
        raise Refused(
            ErrorCode.invalid_config,
            f"raylog.wal: there is no WAL class '{wal_class}'; the classes are {', '.join(rules.wal_classes)}.",
        )
    placement = place(
        state,
        wal_class=wal_class,
        dedicated=settings.dedicated_leader,
        partition_count=count,
        leaders_per_class=rules.leaders_per_class,
        nodes=rules.nodes,
    )
    created = TopicCreated(
        topic_id=topic_id, name=topic.name, configs=configs, leaders=placement.leaders, internal=internal
    )
    return Decided(
        records=(*placement.added, created),
        topic_id=topic_id,
        name=topic.name,
        partition_count=count,
        configs=configs,
    )


def add_partitions(state: MetadataState, rules: ClusterRules, name: str, total: int) -> Decided:
    """More partitions for a topic, up to ``total``."""
    topic = _topic_named(state, name)
    present = len(topic.partitions)
    if topic.internal:
        raise Refused(
            ErrorCode.invalid_partitions,
            f"The partitions of the internal topic '{name}' cannot be added to: its keys are spread over them by hash.",
        )
    if total == present:
        raise Refused(ErrorCode.invalid_partitions, f"Topic already has {present} partition(s).")
    if total < present:
        raise Refused(
            ErrorCode.invalid_partitions,
            f"The topic '{name}' currently has {present} partition(s); {total} would not be an increase.",
        )
    _check_partition_count(rules, total)
    present_leaders = Counter(partition.leader_id for partition in topic.partitions)
    home = state.leaders[topic.partitions[0].leader_id]
    placement = place(
        state,
        wal_class=home.wal_class,  # a topic stays in its class, whatever the default has become
        dedicated=topic_config.wants_dedicated_leaders(topic.configs),
        partition_count=total - present,
        leaders_per_class=rules.leaders_per_class,
        nodes=rules.nodes,
        own_counts=present_leaders,
    )
    added = PartitionsAdded(topic_id=topic.topic_id, leaders=placement.leaders)
    return Decided(
        records=(*placement.added, added),
        topic_id=topic.topic_id,
        name=name,
        partition_count=total,
        configs=topic.configs,
    )


def delete_topic(state: MetadataState, rules: ClusterRules, selector: TopicSelector) -> Decided:
    """The end of a topic; its leaders learn of it by their assignments."""
    if (selector.name is None) == (selector.topic_id is None):
        raise Refused(ErrorCode.invalid_request, "A topic to delete is named by its name or by its id, not by both.")
    if not rules.broker_config(state).delete_topic_enable:
        raise Refused(ErrorCode.topic_deletion_disabled, "Topic deletion is disabled (delete.topic.enable).")
    if selector.name is not None:
        topic = _topic_named(state, selector.name)
    else:
        found = state.topics.get(selector.topic_id) if selector.topic_id is not None else None
        if found is None:
            raise Refused(ErrorCode.unknown_topic_id, "This server does not host this topic ID.")
        topic = found
    if topic.internal:
        raise Refused(ErrorCode.invalid_request, f"The internal topic '{topic.name}' holds the cluster's state.")
    return Decided(
        records=(TopicDeleted(topic_id=topic.topic_id),),
        topic_id=topic.topic_id,
        name=topic.name,
        partition_count=len(topic.partitions),
        configs=topic.configs,
    )


def repeated(keys: Sequence[object]) -> set[object]:
    """Those that occur more than once: Kafka refuses all of their occurrences."""
    return {key for key, count in Counter(keys).items() if count > 1}


def _topic_named(state: MetadataState, name: str) -> TopicState:
    topic = state.topic(name)
    if topic is None:
        raise Refused(ErrorCode.unknown_topic_or_partition, "This server does not host this topic-partition.")
    return topic


def _check_new_name(state: MetadataState, name: str) -> None:
    try:
        check_topic_name(name)
    except InvalidError as error:
        raise Refused(ErrorCode.invalid_topic_exception, str(error)) from None
    if name in state.topic_ids:
        raise Refused(ErrorCode.topic_already_exists, f"Topic '{name}' already exists.")
    if "." in name or "_" in name:
        key = collision_key(name)
        other = next((other for other in state.topic_ids if collision_key(other) == key), None)
        if other is not None:
            raise Refused(ErrorCode.invalid_topic_exception, f"Topic '{name}' collides with existing topic: {other}")


def _partition_count(state: MetadataState, rules: ClusterRules, topic: NewTopic) -> int:
    if topic.assignments:
        return _assigned_count(state, rules, topic)
    if topic.replication_factor < -1 or topic.replication_factor == 0:
        raise Refused(
            ErrorCode.invalid_replication_factor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if topic.partitions < -1 or topic.partitions == 0:
        raise Refused(
            ErrorCode.invalid_partitions,
            "Number of partitions was set to an invalid non-positive value.",
        )
    count = rules.broker_config(state).num_partitions if topic.partitions == -1 else topic.partitions
    return _check_partition_count(rules, count)


def _assigned_count(state: MetadataState, rules: ClusterRules, topic: NewTopic) -> int:
    """A manual assignment is checked as Kafka checks it, and then only its length is used: leaders are not brokers."""
    for value, what in ((topic.replication_factor, "replication factor"), (topic.partitions, "partition count")):
        if value != -1:
            raise Refused(
                ErrorCode.invalid_request, f"A manual partition assignment was specified, but {what} was not set to -1."
            )
    if sorted(topic.assignments) != list(range(len(topic.assignments))):
        raise Refused(
            ErrorCode.invalid_replica_assignment,
            "partitions should be a consecutive 0-based integer sequence",
        )
    known = {broker.endpoint.broker_id for broker in state.brokers.values() if not broker.retired}
    for number, replicas in topic.assignments.items():
        if not replicas or len(set(replicas)) != len(replicas) or not known.issuperset(replicas):
            raise Refused(
                ErrorCode.invalid_replica_assignment,
                f"The replicas of partition {number} are not a list of different brokers of this cluster.",
            )
    return _check_partition_count(rules, len(topic.assignments))


def _check_partition_count(rules: ClusterRules, count: int) -> int:
    if count > rules.topic_partitions_max:
        raise Refused(
            ErrorCode.invalid_partitions,
            f"{count} partitions are more than a topic may have here (limit controller.topic_partitions_max: "
            f"{rules.topic_partitions_max}).",
        )
    return count


def _checked_configs(configs: dict[str, str | None]) -> dict[str, str]:
    try:
        return topic_config.validate(configs)
    except InvalidError as error:
        raise Refused(ErrorCode.invalid_config, str(error)) from None
