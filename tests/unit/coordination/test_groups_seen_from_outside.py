"""ListGroups, DescribeGroups and DeleteGroups."""

from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from raylog.coordination import messages


def listed(driver: Any, **values: Any) -> set[tuple[str, str, str]]:
    result = driver.call(messages.ListGroups, **values)
    return {(group.group_id, group.state, group.protocol_type) for group in result.groups}


def test_groups_are_listed_with_their_state(eager: Any) -> None:
    eager.stable_group()
    eager.commit(1, group_id="tool")
    assert listed(eager) == {("readers", "Stable", "consumer"), ("tool", "Empty", "")}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"states": ("Stable",)}, {"readers"}),
        ({"states": ("eMPTY",)}, {"tool"}),
        ({"states": ("Empty", "Stable")}, {"readers", "tool"}),
        ({"states": ("Dead",)}, set()),
        ({"types": ("Classic",)}, {"readers", "tool"}),
        ({"types": ("consumer",)}, set()),
        ({"types": ("consumer", "classic"), "states": ("empty",)}, {"tool"}),
    ],
)
def test_filters(eager: Any, filters: dict[str, tuple[str, ...]], expected: set[str]) -> None:
    eager.stable_group()
    eager.commit(1, group_id="tool")
    assert {group[0] for group in listed(eager, **filters)} == expected


def test_a_stable_group_is_described_with_metadata_and_assignment(eager: Any, metadata_for: Any) -> None:
    members, _ = eager.stable_group(2)
    described = eager.describe()
    assert (described.state, described.protocol_type, described.protocol_data) == ("Stable", "consumer", "range")
    assert [member.member_id for member in described.members] == members
    assert [member.assignment for member in described.members] == [b"0", b"1"]
    assert described.members[0].metadata == metadata_for("orders")
    assert (described.members[0].client_id, described.members[0].client_host) == ("client", "/10.0.0.1")


def test_a_group_in_a_rebalance_is_described_without_metadata(eager: Any) -> None:
    eager.stable_group()
    eager.new_member()
    described = eager.describe()
    assert (described.state, described.protocol_data) == ("PreparingRebalance", "")
    assert [member.metadata for member in described.members] == [b"", b""]


def test_a_group_that_is_not_there(driver: Any) -> None:
    described = driver.describe("nobody")
    assert (described.error, described.state) == (ErrorCode.group_id_not_found, "Dead")
    assert driver.call(messages.DeleteGroup, group_id="nobody").error is ErrorCode.group_id_not_found


def test_a_group_with_members_is_not_deleted(eager: Any) -> None:
    eager.stable_group()
    assert eager.call(messages.DeleteGroup).error is ErrorCode.non_empty_group
    eager.new_member()
    assert eager.call(messages.DeleteGroup).error is ErrorCode.non_empty_group


def test_a_deleted_group_is_gone_with_its_offsets(eager: Any) -> None:
    (member,), generation = eager.stable_group()
    eager.commit(1, member_id=member, generation=generation)
    eager.leave(member)
    assert eager.call(messages.DeleteGroup).error is ErrorCode.none
    for coordinator in (eager, eager.crash()):
        assert coordinator.committed() == -1
        assert listed(coordinator) == set()


def test_a_group_with_the_name_of_a_deleted_one_begins_anew(eager: Any) -> None:
    (member,), _ = eager.stable_group()
    eager.leave(member)
    eager.call(messages.DeleteGroup)
    _, generation = eager.stable_group()
    assert generation == 1
