"""Assignments travel between processes in a shape of their own."""

import copy
import pickle
from dataclasses import fields
from uuid import UUID

from raylog.model.admin import Assignment, LeaderAssignments, TakenFrom
from raylog.model.ids import TopicId, TopicPartition


def assignment(topic, number, adopted=False, taken_from=None, **configs):
    partition = TopicPartition(TopicId(UUID(int=topic)), number)
    return Assignment(
        partition=partition, topic_name=f"t{topic}", configs=configs, adopted=adopted, taken_from=taken_from
    )


def test_assignments_arrive_as_they_were_in_their_order():
    partitions = (
        assignment(1, 5, adopted=True),
        assignment(2, 0, a="1"),
        assignment(1, 2),
        assignment(1, 3, adopted=True),
        assignment(1, 4, taken_from=TakenFrom(leader_id=2, handover=9, leader_epoch=3, epoch_base=-1)),
    )
    sent = LeaderAssignments(
        version=7,
        partitions=partitions,
        handing_over=(TopicPartition(TopicId(UUID(int=3)), 1),),
        broker_configs={"num.partitions": "3"},
    )
    defaults = LeaderAssignments(version=0, partitions=())
    assert all(getattr(sent, f.name) != getattr(defaults, f.name) for f in fields(sent)), "each field is to be seen"
    assert pickle.loads(pickle.dumps(sent)) == sent
    assert copy.deepcopy(sent) == sent
    nothing = LeaderAssignments(version=1, partitions=())
    assert pickle.loads(pickle.dumps(nothing)) == nothing


def test_thousands_of_partitions_of_a_topic_take_a_few_bytes_each():
    partitions = tuple(assignment(1, number, adopted=True) for number in range(5_000))
    assert len(pickle.dumps(LeaderAssignments(version=1, partitions=partitions))) < 8 * len(partitions)
