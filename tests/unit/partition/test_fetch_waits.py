from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raylog.model.ids import TopicId, TopicPartition
from raylog.partition.fetch_waits import FetchWaits

A, B, C = (TopicPartition(TopicId(UUID(int=1)), number) for number in range(3))


@pytest.fixture
def waits():
    return FetchWaits(waits_max=100)


def test_a_wait_is_ready_when_its_partitions_have_gained_what_it_lacks(waits):
    waits.add("w", [A, B], lacking_bytes=100, deadline=1.0)
    assert waits.gained(A, 60, 60) == []
    assert waits.gained(C, 60, 60) == []
    assert waits.gained(B, 40, 40) == ["w"]
    assert len(waits) == 0
    assert waits.gained(B, 40, 40) == []
    waits.validate()


def test_a_read_committed_wait_counts_stable_bytes_only(waits):
    waits.add("committed", [A], lacking_bytes=10, deadline=1.0, read_committed=True)
    assert waits.gained(A, 100, 0) == []
    assert waits.gained(A, 0, 10) == ["committed"]


def test_an_error_of_one_partition_ends_all_its_waits(waits):
    waits.add("first", [A, B], lacking_bytes=1, deadline=1.0)
    waits.add("second", [A], lacking_bytes=1, deadline=1.0)
    waits.add("other", [C], lacking_bytes=1, deadline=1.0)
    assert waits.failed(A) == ["first", "second"]
    assert waits.gained(B, 5, 5) == []
    assert len(waits) == 1
    waits.validate()


def test_waits_expire_at_their_deadline_the_earliest_first(waits):
    waits.add("late", [A], lacking_bytes=1, deadline=3.0)
    waits.add("early", [A], lacking_bytes=1, deadline=1.0)
    waits.add("middle", [A], lacking_bytes=1, deadline=2.0)
    assert waits.next_deadline == 1.0
    assert waits.expire(0.9) == []
    assert waits.expire(2.0) == ["early", "middle"]
    assert waits.next_deadline == 3.0
    waits.validate()


def test_the_next_deadline_is_never_that_of_a_wait_that_is_over(waits):
    waits.add("early", [A], lacking_bytes=1, deadline=1.0)
    waits.add("late", [B], lacking_bytes=1, deadline=2.0)
    waits.gained(A, 1, 1)
    assert waits.next_deadline == 2.0


def test_a_cancelled_wait_is_never_given_back(waits):
    wait = waits.add("w", [A], lacking_bytes=1, deadline=1.0)
    waits.cancel(wait)
    waits.cancel(wait)
    assert waits.gained(A, 1, 1) == []
    assert waits.expire(5.0) == []
    assert waits.next_deadline is None


def test_a_partition_named_twice_counts_once(waits):
    waits.add("w", [A, A], lacking_bytes=10, deadline=1.0)
    assert waits.gained(A, 5, 5) == []
    assert waits.gained(A, 5, 5) == ["w"]
    waits.validate()


def test_the_registry_says_when_it_is_full():
    waits = FetchWaits(waits_max=2)
    waits.add(1, [A], lacking_bytes=1, deadline=1.0)
    assert waits.has_room
    waits.add(2, [A], lacking_bytes=1, deadline=1.0)
    assert not waits.has_room
    assert waits.close() == [1, 2]
    assert waits.has_room


def test_answered_waits_do_not_pile_up_behind_a_far_deadline(waits):
    for number in range(10_000):
        waits.add(number, [A], lacking_bytes=1, deadline=1e9)
        assert waits.gained(A, 1, 1) == [number]
    waits.validate()


class FetchWaitsMachine(RuleBasedStateMachine):
    """Against a dictionary of what each wait still lacks."""

    def __init__(self):
        super().__init__()
        self.waits = FetchWaits(waits_max=8)
        self.lacking, self.handles = {}, {}
        self.now, self.number = 0.0, 0

    def take(self, ready):
        for number in ready:
            del self.lacking[number], self.handles[number]

    @precondition(lambda self: self.waits.has_room)
    @rule(
        partitions=st.sets(st.sampled_from([A, B, C]), min_size=1),
        lacking=st.integers(1, 30),
        patience=st.floats(0, 5),
        committed=st.booleans(),
    )
    def add(self, partitions, lacking, patience, committed):
        self.number += 1
        deadline = self.now + patience
        self.lacking[self.number] = [lacking, partitions, deadline, committed]
        self.handles[self.number] = self.waits.add(
            self.number, partitions, lacking_bytes=lacking, deadline=deadline, read_committed=committed
        )

    @rule(partition=st.sampled_from([A, B, C]), size=st.integers(0, 20), stable=st.integers(0, 20))
    def gained(self, partition, size, stable):
        wanted = []
        for number, wait in self.lacking.items():
            if partition in wait[1]:
                wait[0] -= stable if wait[3] else size
                if wait[0] <= 0:
                    wanted.append(number)
        assert self.waits.gained(partition, size, stable) == wanted
        self.take(wanted)

    @rule(partition=st.sampled_from([A, B, C]))
    def failed(self, partition):
        wanted = [number for number, wait in self.lacking.items() if partition in wait[1]]
        assert self.waits.failed(partition) == wanted
        self.take(wanted)

    @rule(seconds=st.floats(0, 3))
    def expire(self, seconds):
        self.now += seconds
        wanted = {number for number, wait in self.lacking.items() if wait[2] <= self.now}
        found = self.waits.expire(self.now)
        assert set(found) == wanted and len(found) == len(wanted)
        self.take(found)

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def cancel(self, data):
        number = data.draw(st.sampled_from(sorted(self.handles)))
        self.waits.cancel(self.handles[number])
        self.take([number])

    @invariant()
    def deadlines_and_count_are_right(self):
        self.waits.validate()
        assert len(self.waits) == len(self.lacking)
        assert self.waits.next_deadline == min((wait[2] for wait in self.lacking.values()), default=None)


TestFetchWaitsModel = FetchWaitsMachine.TestCase
TestFetchWaitsModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
