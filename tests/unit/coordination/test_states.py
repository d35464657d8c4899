"""The tables say something for every state, and the groups that the other tests drive go by them."""

from raylog.coordination.states import (
    COMMIT_ANSWER,
    DEAD,
    DELETE_ANSWER,
    EMPTY,
    HEARTBEAT_ANSWER,
    ON_REJOIN,
    ON_SYNC,
    TRANSITIONS,
    GroupState,
)

STATES = set(GroupState)


def test_no_state_is_left_out() -> None:
    for table in (TRANSITIONS, HEARTBEAT_ANSWER, COMMIT_ANSWER, DELETE_ANSWER, ON_SYNC):
        assert table.keys() == STATES
    assert ON_REJOIN.keys() == {(state, is_leader) for state in STATES for is_leader in (False, True)}


def test_every_state_is_reached_from_an_empty_group_and_can_end() -> None:
    reached, todo = {EMPTY}, [EMPTY]
    while todo:
        for state in TRANSITIONS[todo.pop()] - reached:
            reached.add(state)
            todo.append(state)
    assert reached == STATES
    assert all(DEAD in TRANSITIONS[state] for state in STATES - {DEAD})


def test_states_are_named_as_kafka_names_them() -> None:
    names = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}
    assert {state.value for state in GroupState} == names
