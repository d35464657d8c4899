"""What becomes of IncrementalAlterConfigs (KIP-339): decided on the state, with Kafka's error codes. Pure."""

from kio.schema.errors import ErrorCode

from controller.records import BrokersConfigured, Record, TopicConfigured
from controller.rules import Refused
from controller.state import MetadataState
from raylog.model import broker_config, topic_config
from raylog.model.admin import ConfigAlteration
from raylog.model.errors import InvalidError

_TOPIC = 2
_BROKER = 4
_OPERATIONS = range(4)


def alter_configs(state: MetadataState, alteration: ConfigAlteration) -> tuple[Record, ...]:
    """The settings of one resource after its changes. Raises Refused; empty if nothing changes."""
    for change in alteration.changes:
        if change.op not in _OPERATIONS:
            raise Refused(ErrorCode.invalid_request, f"Unknown operation {change.op} on the setting {change.key}.")
    try:
        if alteration.resource_type == _TOPIC:
            return _alter_topic(state, alteration)
        if alteration.resource_type == _BROKER:
            return _alter_brokers(state, alteration)
    except InvalidError as error:
        raise Refused(ErrorCode.invalid_config, str(error)) from None
    raise Refused(ErrorCode.invalid_request, f"Settings of resource type {alteration.resource_type} cannot be altered.")


def _alter_topic(state: MetadataState, alteration: ConfigAlteration) -> tuple[Record, ...]:
    topic = state.topic(alteration.name)
    if topic is None:
        raise Refused(ErrorCode.unknown_topic_or_partition, f"The topic '{alteration.name}' does not exist.")
    configs = topic_config.altered(topic.configs, alteration.changes)
    if configs == topic.configs:
        return ()
    return (TopicConfigured(topic_id=topic.topic_id, configs=configs),)


def _alter_brokers(state: MetadataState, alteration: ConfigAlteration) -> tuple[Record, ...]:
    """There are no settings of a single broker: what is set for one is set for all."""
    if alteration.name:
        if not alteration.name.isdigit():
            raise Refused(ErrorCode.invalid_request, f"'{alteration.name}' is not a broker's number.")
        if int(alteration.name) not in {broker.endpoint.broker_id for broker in state.brokers.values()}:
            raise Refused(ErrorCode.broker_id_not_registered, f"There is no broker {alteration.name}.")
    configs = broker_config.altered(state.broker_configs, alteration.changes)
    return () if configs == state.broker_configs else (BrokersConfigured(configs=configs),)
