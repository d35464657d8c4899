"""Settings by Kafka's names."""

import pytest

from raylog.coordination.settings import GroupSettings
from raylog.model.errors import InvalidError


def test_kafkas_defaults() -> None:
    settings = GroupSettings.from_broker_configs({"log.retention.hours": "1"})
    assert settings == GroupSettings()
    assert (settings.session_timeout_ms_min, settings.session_timeout_ms_max) == (6_000, 1_800_000)
    assert settings.initial_rebalance_delay_ms == 3_000


def test_settings_are_taken_over_in_their_units() -> None:
    settings = GroupSettings.from_broker_configs(
        {"offsets.retention.minutes": "2", "group.max.size": "5", "group.initial.rebalance.delay.ms": "0"}
    )
    assert settings.offsets_retention_ms == 120_000
    assert (settings.group_size_max, settings.initial_rebalance_delay_ms) == (5, 0)


@pytest.mark.parametrize("text", ["many", "1.5", "-1", ""])
def test_what_is_no_number_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InvalidError, match=r"group\.max\.size.*\.$"):
        GroupSettings.from_broker_configs({"group.max.size": text})
