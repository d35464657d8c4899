"""Produce (key 0), versions 3-13: KIP-98 (idempotence), KIP-467 (record errors), KIP-516 (topic ids, v13).

The gateway has judged the batches; here is what only the log can judge. Offsets are given before the handler returns, in the
order of requests; the answer waits until the WAL has everything appended so far, an error's and a duplicate's included.
acks=1 and -1 mean the same. A request for which there is no room is held back with its connection.

A request for a partition that is on its way here waits for it (``raylog.leader.early_calls``).

In a batch's place a gateway may send a reference to it (``raylog.storage.reference``).
"""

from typing import Any

from kio.schema.errors import ErrorCode
from kio.static.protocol import Payload

from raylog.leader.call import Call
from raylog.leader.context import LeaderContext
from raylog.leader.hosted import HostedPartition
from raylog.leader.messages import make, response_types
from raylog.leader.produce_answers import topic_field
from raylog.leader.registry import handles
from raylog.model.errors import CorruptError
from raylog.partition.outcomes import AppendOutcome, Rejected
from raylog.protocol.batch import list_headers
from raylog.protocol.single_produce import FIRST_VERSION_WITH_TOPIC_IDS, SingleProduce
from raylog.protocol.wire import NO_THROTTLE, timestamp, to_ms
from raylog.storage.reference import decode_reference, is_reference

_KEY = 0
_EARLIER_ONES_FIRST = Rejected(
    ErrorCode.not_leader_or_follower, "What the producer sent before this batch may be on its way here."
)
_NOT_LED = Rejected(ErrorCode.not_leader_or_follower, "The partition is not led here.")


@handles(_KEY, 3, 13)
def produce(call: Call) -> None:
    call.leader.admission.run(call, _serve)


def _serve(call: Call) -> None:
    leader, request = call.leader, call.request
    if leader.early_calls.is_expecting and leader.early_calls.hold(call, _readmit, _asked_for(call)):
        return
    if type(request) is SingleProduce:
        shape = request.shape
        response = _serve_one(call, shape.topic, shape.partition, request.records)
        leader.acks.answer(leader.appender.last_lsn, call, response, shape.timeout_s, _timed_out)
        return
    topics = request.topic_data
    if len(topics) == 1 and len(topics[0].partition_data) == 1:
        part = topics[0].partition_data[0]
        response = _serve_one(call, _name_of(call, topics[0]), part.index, part.records)
    else:
        response = _serve_all(call)
    if request.acks != 0:
        leader.acks.answer(leader.appender.last_lsn, call, response, to_ms(request.timeout) / 1000, _timed_out)


def _readmit(call: Call) -> None:
    call.leader.admission.run(call, _serve)


def _asked_for(call: Call) -> list[tuple[Any, int]]:
    """The partitions of the request."""
    return [(topic, index) for topic, indexes in _asked(call) for index in indexes]


def _serve_one(call: Call, name: Any, index: int, records: Any) -> Payload | bytes:
    leader = call.leader
    hosted, outcome = _append(leader, name, index, records)
    if hosted is not None and not isinstance(outcome, Rejected) and outcome.log_append_time_ms < 0:
        return leader.produce_answers.taken(call.head, name, index, outcome.base_offset, hosted.core.log_start_offset)
    types = response_types(call.head)
    return _response(types, [_topic_answer(types, name, [_partition_answer(types, index, outcome, hosted)])])


def _serve_all(call: Call) -> Payload:
    types = response_types(call.head)
    topics = []
    for topic in call.request.topic_data:
        name = _name_of(call, topic)
        answers = []
        for part in topic.partition_data:
            hosted, outcome = _append(call.leader, name, part.index, part.records)
            answers.append(_partition_answer(types, part.index, outcome, hosted))
        topics.append(_topic_answer(types, name, answers))
    return _response(types, topics)


def _append(leader: LeaderContext, name: Any, index: int, records: Any) -> tuple[HostedPartition | None, AppendOutcome]:
    hosted = leader.partitions.find(name, index)
    outcome = _NOT_LED if hosted is None else _append_to(leader, hosted, records)
    if type(outcome) is Rejected:
        if outcome.error_code is ErrorCode.out_of_order_sequence_number and hosted is not None:
            outcome = _gap(leader, hosted, outcome)
        leader.metrics.error(_KEY, outcome.error_code.name)
    return hosted, outcome


def _gap(leader: LeaderContext, hosted: HostedPartition, rejected: Rejected) -> Rejected:
    """What to say of a gap in a producer's sequence while it may be that what is missing went to the leader before this one.

    A gateway keeps its client's connection when a leader ends, so of two requests that the client had under way the first may
    get lost with the old leader and the second reach the new one. For OUT_OF_ORDER_SEQUENCE_NUMBER librdkafka begins a new
    epoch, in which it writes once more whatever it does not know the outcome of, on all partitions: a retriable error has it
    send the first one again, and then this one.
    """
    led_s = leader.clock.monotonic() - hosted.since_s
    return _EARLIER_ONES_FIRST if led_s < leader.limits.sequence_grace_s else rejected


def _append_to(leader: LeaderContext, hosted: HostedPartition, records: Any) -> AppendOutcome:
    if not records:
        return Rejected(ErrorCode.invalid_record, "There is no record batch.")
    try:
        if is_reference(records):
            return leader.appender.append_uploaded(hosted, decode_reference(records))
        found = list_headers(records)
    except CorruptError as error:
        return Rejected(ErrorCode.corrupt_message, str(error))
    return leader.appender.append(hosted, records, found)


def _partition_answer(types: Any, index: int, outcome: AppendOutcome, hosted: HostedPartition | None) -> Any:
    if not isinstance(outcome, Rejected):
        assert hosted is not None
        values: dict[str, object] = {
            "index": index,
            "error_code": ErrorCode.none,
            "base_offset": outcome.base_offset,
            "log_append_time": timestamp(outcome.log_append_time_ms),
            "log_start_offset": hosted.core.log_start_offset,
            "record_errors": (),
        }
    else:
        values = {
            "index": index,
            "error_code": outcome.error_code,
            "base_offset": -1,
            "record_errors": tuple(
                types.BatchIndexAndErrorMessage(batch_index=fault.batch_index, batch_index_error_message=fault.message)
                for fault in outcome.record_faults
            )
            if outcome.record_faults
            else (),
            "error_message": outcome.message,
        }
    return make(types.PartitionProduceResponse, values)


def _topic_answer(types: Any, name: Any, answers: list[Any]) -> Any:
    return types.TopicProduceResponse(**{topic_field(types): name, "partition_responses": tuple(answers)})


def _response(types: Any, topics: list[Any]) -> Payload:
    response: Payload = types.ProduceResponse(responses=tuple(topics), throttle_time=NO_THROTTLE)
    return response


def _name_of(call: Call, topic: Any) -> Any:
    """The topic's name, or its id where the version has that."""
    return topic.topic_id if call.head.api_version >= FIRST_VERSION_WITH_TOPIC_IDS else topic.name


def _timed_out(call: Call) -> Payload:
    """The records are in the log, or on their way, but not durable in the time that the producer gave."""
    types = response_types(call.head)
    outcome = Rejected(ErrorCode.request_timed_out, "The records did not become durable in time.")
    return _response(
        types,
        [
            _topic_answer(types, name, [_partition_answer(types, index, outcome, None) for index in indexes])
            for name, indexes in _asked(call)
        ],
    )


def _asked(call: Call) -> list[tuple[Any, list[int]]]:
    """The partitions of the request, by topic."""
    if type(call.request) is SingleProduce:
        shape = call.request.shape
        return [(shape.topic, [shape.partition])]
    return [(_name_of(call, topic), [part.index for part in topic.partition_data]) for topic in call.request.topic_data]
