"""Overrides reach their group, and a mistake in one is told in a sentence."""

import pickle

import pytest

from raylog.model.errors import InvalidError
from raylog.model.limits import Limits


def test_overrides_by_dotted_name_and_by_table_are_the_same() -> None:
    dotted = Limits.from_mapping({"gateway.connections_max": 5, "store.patience_s": 2})
    tables = Limits.from_mapping({"gateway": {"connections_max": 5}, "store": {"patience_s": 2}})
    assert dotted == tables
    assert dotted.gateway.connections_max == 5
    assert dotted.store.patience_s == 2
    assert dotted.leader == Limits().leader


@pytest.mark.parametrize("name", ["connections_max", "gateway.connections", "nobody.at_home", "gateway", "", "a.b.c"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="There is no limit"):
        Limits.from_mapping({name: 5})


def test_a_name_without_its_group_gets_a_hint() -> None:
    with pytest.raises(InvalidError, match=r"Did you mean 'gateway\.connections_max'"):
        Limits.from_mapping({"connections_max": 5})


@pytest.mark.parametrize("value", [0, -1, "7", None, True, 2.5])
def test_a_value_that_is_no_positive_whole_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidError, match="must be a whole number above 0"):
        Limits.from_mapping({"gateway.connections_max": value})


def test_limits_travel_to_other_processes() -> None:
    limits = Limits.from_mapping({"log.trim_grace_s": 1.5})
    assert pickle.loads(pickle.dumps(limits)) == limits
