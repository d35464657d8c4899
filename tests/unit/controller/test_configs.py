"""IncrementalAlterConfigs as the controller decides it."""

from uuid import UUID

import pytest
from kio.schema.errors import ErrorCode

from controller.configs import alter_configs
from controller.records import BrokerRegistered, BrokersConfigured, LeaderAdded, TopicConfigured, TopicCreated
from controller.rules import Refused
from controller.state import MetadataState
from raylog.model.admin import ConfigAlteration, ConfigChange

TOPIC = UUID(int=5)
SET, DELETE, APPEND, SUBTRACT = range(4)


@pytest.fixture
def state():
    state = MetadataState()
    for record in (
        BrokerRegistered(node_id="a", broker_id=7, host="a", port=1),
        LeaderAdded(leader_id=1, wal_class="file"),
        TopicCreated(topic_id=TOPIC, name="orders", configs={"cleanup.policy": "compact"}, leaders=(1,)),
    ):
        state.apply(record)
    return state


def alter(state, key, op, value, name="orders", resource_type=2):
    changes = (ConfigChange(key=key, op=op, value=value),)
    return alter_configs(state, ConfigAlteration(resource_type=resource_type, name=name, changes=changes))


def test_a_topics_settings_are_set_deleted_added_to_and_taken_from(state):
    def after(*change):
        [record] = alter(state, *change)
        assert isinstance(record, TopicConfigured) and record.topic_id == TOPIC
        return record.configs

    assert after("retention.ms", SET, "5") == {"cleanup.policy": "compact", "retention.ms": "5"}
    assert after("cleanup.policy", DELETE, None) == {}
    assert after("cleanup.policy", APPEND, "delete") == {"cleanup.policy": "compact,delete"}
    state.apply(TopicConfigured(topic_id=TOPIC, configs={"cleanup.policy": "compact,delete"}))
    assert after("cleanup.policy", SUBTRACT, "compact") == {"cleanup.policy": "delete"}


def test_what_changes_nothing_writes_nothing(state):
    assert alter(state, "cleanup.policy", SET, "compact") == ()
    assert alter(state, "retention.ms", DELETE, None) == ()
    assert alter(state, "num.partitions", DELETE, None, name="", resource_type=4) == ()


@pytest.mark.parametrize("name", ["", "7"])
def test_a_brokers_settings_are_the_clusters(state, name):
    [record] = alter(state, "num.partitions", SET, "4", name=name, resource_type=4)
    assert record == BrokersConfigured(configs={"num.partitions": "4"})


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        (("colour", SET, "red"), {}, ErrorCode.invalid_config),
        (("retention.ms", SET, "soon"), {}, ErrorCode.invalid_config),
        (("retention.ms", SET, None), {}, ErrorCode.invalid_config),
        (("retention.ms", APPEND, "5"), {}, ErrorCode.invalid_config),
        (("retention.ms", 4, "5"), {}, ErrorCode.invalid_request),
        (("raylog.wal", SET, "object"), {}, ErrorCode.invalid_config),
        (("retention.ms", SET, "5"), {"name": "nowhere"}, ErrorCode.unknown_topic_or_partition),
        (("num.fridges", SET, "5"), {"name": "", "resource_type": 4}, ErrorCode.invalid_config),
        (("num.partitions", SET, "0"), {"name": "", "resource_type": 4}, ErrorCode.invalid_config),
        (("num.partitions", SET, "5"), {"name": "8", "resource_type": 4}, ErrorCode.broker_id_not_registered),
        (("num.partitions", SET, "5"), {"name": "x", "resource_type": 4}, ErrorCode.invalid_request),
        (("level", SET, "5"), {"name": "7", "resource_type": 8}, ErrorCode.invalid_request),
    ],
)
def test_changes_that_are_refused(state, change, options, code):
    with pytest.raises(Refused) as refusal:
        alter(state, *change, **options)
    assert refusal.value.code is code
