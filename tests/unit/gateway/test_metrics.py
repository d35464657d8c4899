"""What is counted, and that a client's error can be found by its correlation id."""

import logging

import pytest
from kio.schema.errors import ErrorCode
from prometheus_client import CollectorRegistry, Histogram

from gateway.answer_errors import error_codes
from gateway.messages import make, request_types, response_types
from gateway.metrics import _LATENCY_BUCKETS_S, GatewayMetrics
from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.wire import NO_THROTTLE, ms

BATCH = encode_batch([Record(value=b"v", timestamp_ms=1)])


def produce(topic="t", partition=0):
    types = request_types(0, 9)
    data = (types.PartitionProduceData(index=partition, records=BATCH),)
    return types.ProduceRequest(
        acks=-1, timeout=ms(1000), topic_data=(types.TopicProduceData(name=topic, partition_data=data),)
    )


def produced(error=ErrorCode.none):
    types = response_types(0, 9)
    part = make(
        types.PartitionProduceResponse, {"index": 0, "error_code": error, "base_offset": 1, "record_errors": ()}
    )
    return types.ProduceResponse(
        throttle_time=NO_THROTTLE, responses=(types.TopicProduceResponse(name="t", partition_responses=(part,)),)
    )


def samples(registry, name):
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_published_latencies_are_what_observing_each_would_give():
    registry, plain = CollectorRegistry(), CollectorRegistry()
    metrics = GatewayMetrics(registry, [0])
    expected = Histogram(
        "raylog_gateway_request_seconds", "", ["api"], buckets=_LATENCY_BUCKETS_S, registry=plain
    ).labels("Produce")
    for seconds in (0.0, 0.0005, 0.00051, 0.003, 0.01, 0.7, 29.9, 30.0, 31.0, 1000.0):
        metrics.apis[0].answered(seconds, 10, 5)
        expected.observe(seconds)
        if seconds == 0.01:
            metrics.publish()
    metrics.publish()
    metrics.publish()
    for name in ("bucket", "sum", "count"):
        name = f"raylog_gateway_request_seconds_{name}"
        assert samples(registry, name) == pytest.approx(samples(plain, name))
        assert samples(plain, name)
    assert registry.get_sample_value("raylog_gateway_request_bytes_total", {"api": "Produce"}) == 100
    assert registry.get_sample_value("raylog_gateway_answer_bytes_total", {"api": "Produce"}) == 50


def test_error_codes_are_found_wherever_they_stand():
    assert error_codes(produced()) == set()
    assert error_codes(produced(ErrorCode.corrupt_message)) == {ErrorCode.corrupt_message}
    types = response_types(1, 12)
    fetched = make(
        types.FetchResponse,
        {
            "throttle_time": NO_THROTTLE,
            "error_code": ErrorCode.fetch_session_id_not_found,
            "session_id": 0,
            "responses": (),
        },
    )
    assert error_codes(fetched) == {ErrorCode.fetch_session_id_not_found}
    heartbeat = response_types(12, 4).HeartbeatResponse(
        throttle_time=NO_THROTTLE, error_code=ErrorCode.rebalance_in_progress
    )
    assert error_codes(heartbeat) == {ErrorCode.rebalance_in_progress}


async def test_errors_of_gateway_and_leader_are_counted_and_found_by_correlation_id(world, caplog):
    caplog.set_level(logging.INFO, "raylog")
    await world.leader(1, lambda head, request: produced(ErrorCode.invalid_record))
    await world.topic("t", [1])
    client = await world.client()
    first, second = client.send(produce("t"), produce("unknown"))
    await client.receive()
    await client.receive()
    lines = {
        record.raylog_fields["correlation_id"]: record.raylog_fields
        for record in caplog.records
        if "answered with an error" in record.message
    }
    assert lines[first]["errors"] == "INVALID_RECORD"
    assert lines[second]["errors"] == "UNKNOWN_TOPIC_OR_PARTITION"
    assert {line["client_id"] for line in lines.values()} == {"tester"}
    for error in ("invalid_record", "unknown_topic_or_partition"):
        labels = {"api": "Produce", "error": error}
        assert world.registry.get_sample_value("raylog_gateway_error_answers_total", labels) == 1


async def test_refused_connections_are_counted_and_logged_once_each_within_a_limit(world, caplog):
    caplog.set_level(logging.INFO, "raylog")
    for _ in range(30):
        client = await world.client()
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.is_closed()
    assert world.registry.get_sample_value("raylog_gateway_refused_connections_total", {"reason": "frame"}) == 30
    lines = [record for record in caplog.records if "frame of" in record.message]
    assert len(lines) == 10
    assert all(record.levelno == logging.INFO for record in caplog.records)
