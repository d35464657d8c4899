"""A handover and what changed after it make the partition that was released, wherever between two slots it was written."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.model.ids import LeaderEpoch, ProducerId, TopicId
from raylog.partition.changes import changes_since, with_changes
from raylog.partition.flushed_state import FlushedState, PartitionSnapshot
from raylog.storage.data_object import IndexRow, ProducerRow

TOPIC = TopicId(UUID(int=7))
STEP = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 5), st.integers(0, 3)),
    st.tuples(st.just("trim"), st.integers(0, 9), st.just(0)),
)


def apply(state: FlushedState, slot: int, step: tuple[str, int, int]) -> None:
    kind, count, producer = step
    if kind == "trim":
        state.set_log_start(min(state.log_start_offset + count, state.end_offset))
        return
    first, last = state.end_offset, state.end_offset + count - 1
    row = IndexRow(TOPIC, 0, first, last, 64, 10 * count, 1000 + last, count, LeaderEpoch(slot // 3))
    state.apply(4, slot, [row], [ProducerRow(TOPIC, 0, ProducerId(producer), slot // 5, first, last, first, last, 9)])


def plain(snapshot: PartitionSnapshot) -> object:
    columns = [list(column) for column in snapshot.index.columns]
    return (
        snapshot.log_start_offset,
        snapshot.end_offset,
        snapshot.leader_epochs,
        snapshot.producers,
        snapshot.transactions,
        columns,
    )


@given(st.lists(STEP, max_size=20), st.integers(0, 20))
def test_handover_and_changes_are_the_released_partition(steps: list[tuple[str, int, int]], at: int) -> None:
    state = FlushedState(PartitionSnapshot(), producers_max=100)
    handed = state.snapshot()
    for slot, step in enumerate(steps, 1):
        apply(state, slot, step)
        if slot == at:
            handed = state.snapshot()
    changes = json.loads(json.dumps(changes_since(state, handed.log_start_offset, handed.end_offset)))
    assert plain(handed if changes is None else with_changes(handed, changes)) == plain(state.snapshot())


def test_what_is_told_does_not_grow_with_what_was_handed_over() -> None:
    state = FlushedState(PartitionSnapshot(), producers_max=1000)
    for slot in range(1, 200):
        apply(state, slot, ("append", 1, slot))
    handed_end_offset = state.end_offset
    apply(state, 200, ("append", 1, 7))
    assert changes_since(state, 0, state.end_offset) is None
    changes = changes_since(state, 0, handed_end_offset)
    assert changes is not None
    assert (len(changes["rows"]), len(changes["producers"])) == (1, 1)


def test_producers_beyond_their_number_are_forgotten_idle_ones_first() -> None:
    state = FlushedState(PartitionSnapshot(), producers_max=2)
    for slot, producer in enumerate((1, 2), 1):
        apply(state, slot, ("append", 1, producer))
    handed = state.snapshot()
    apply(state, 3, ("append", 1, 3))
    changes = changes_since(state, 0, handed.end_offset)
    assert changes is not None
    taken = FlushedState(with_changes(handed, changes), producers_max=2)
    assert [producer.producer_id for producer in taken.producers.snapshot()] == [2, 3]


@pytest.mark.parametrize("changes", [{}, {"log_start_offset": 0, "rows": [[1]]}, {"rows": 5}])
def test_what_are_no_changes_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        with_changes(PartitionSnapshot(), changes)
