"""What is recognised says the same as the codec; what is not exactly of a known shape is left to the codec."""

from dataclasses import replace
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylog.protocol import single_produce
from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.single_produce import ProduceRecogniser, ProduceShapes, SingleProduce
from raylog.protocol.wire import decode_request, encode_request, i16, i32, ms, records, topic_name

VERSIONS = range(3, 14)
FLEXIBLE = [version for version in VERSIONS if version >= 9]
TOPIC_ID = UUID(int=7)


def a_batch(size_bytes: int = 100) -> bytes:
    return encode_batch([Record(value=bytes(size_bytes))])


def a_request(version: int, batch: bytes | None, *, topic: str = "orders", partition: int = 3, acks: int = -1) -> Any:
    types = import_module(f"kio.schema.produce.v{version}.request")
    name = {"topic_id": TOPIC_ID} if version >= 13 else {"name": topic_name(topic)}
    part = types.PartitionProduceData(index=i32(partition), records=None if batch is None else records(batch))
    return types.ProduceRequest(
        transactional_id=None,
        acks=i16(acks),
        timeout=ms(30_000),
        topic_data=(types.TopicProduceData(**name, partition_data=(part,)),),
    )


def a_frame(request: Any, correlation_id: int = 1, client_id: str | None = "client") -> bytes:
    return b"".join(encode_request(request, correlation_id=correlation_id, client_id=client_id))[4:]


def learn(recogniser: ProduceRecogniser, frame: bytes) -> None:
    recogniser.learn(frame, *decode_request(frame))


def assert_same(found: SingleProduce | None, frame: bytes) -> None:
    assert found is not None
    head, entity = decode_request(frame)
    request: Any = entity
    (topic,) = request.topic_data
    (part,) = topic.partition_data
    assert found.head == head
    assert found.shape.topic == (topic.topic_id if found.shape.has_topic_id else topic.name)
    assert (found.shape.partition, found.shape.timeout_s) == (part.index, 30.0)
    assert found.records == part.records


@pytest.mark.parametrize("version", VERSIONS)
@given(
    sizes=st.lists(st.integers(0, 20_000), min_size=2, max_size=4),
    client_id=st.none() | st.text(max_size=20),
    topic=st.text("abc.-_", min_size=1, max_size=200),
    partition=st.integers(0, 2**31 - 1),
    acks=st.sampled_from((1, -1)),
)
def test_what_is_recognised_says_what_the_codec_reads(
    version: int, sizes: list[int], client_id: str | None, topic: str, partition: int, acks: int
) -> None:
    recogniser = ProduceRecogniser(ProduceShapes())
    for number, size in enumerate(sizes):
        request = a_request(version, a_batch(size), topic=topic, partition=partition, acks=acks)
        frame = a_frame(request, correlation_id=number, client_id=client_id)
        found = recogniser.recognise(frame)
        if number == 0:
            assert found is None
            learn(recogniser, frame)
        else:
            assert_same(found, frame)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_difference_before_the_batch_is_seen(version: int) -> None:
    recogniser = ProduceRecogniser(ProduceShapes())
    learn(recogniser, a_frame(a_request(version, a_batch())))
    others = [
        a_frame(a_request(version, a_batch(), partition=4)),
        a_frame(a_request(version, a_batch(), acks=0)),
        a_frame(a_request(version, a_batch()), client_id="other"),
        a_frame(replace(a_request(version, a_batch()), timeout=ms(1))),
        a_frame(replace(a_request(version, a_batch()), transactional_id="t")),
    ]
    if version < 13:
        others.append(a_frame(a_request(version, a_batch(), topic="orderz")))
    if version > 3:
        others.append(a_frame(a_request(version - 1, a_batch())))
    for frame in others:
        assert recogniser.recognise(frame) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_one_batch_for_certain_is_not_learnt(version: int) -> None:
    recogniser = ProduceRecogniser(ProduceShapes())
    request = a_request(version, a_batch())
    (topic,) = request.topic_data
    for other in (
        a_request(version, None),
        a_request(version, a_batch(), acks=0),
        replace(request, transactional_id="t"),
        replace(request, topic_data=(topic, topic)),
        replace(request, topic_data=(replace(topic, partition_data=topic.partition_data * 2),)),
        replace(request, topic_data=()),
    ):
        learn(recogniser, a_frame(other))
        assert recogniser.recognise(a_frame(other)) is None


@pytest.mark.parametrize("version", FLEXIBLE)
def test_tagged_fields_behind_the_batch_go_through_the_codec(version: int) -> None:
    recogniser = ProduceRecogniser(ProduceShapes())
    plain = a_frame(a_request(version, a_batch()))
    tagged = plain[:-1] + b"\x01\x63\x02ab"
    learn(recogniser, tagged)
    assert recogniser.recognise(tagged) is None
    learn(recogniser, plain)
    assert recogniser.recognise(tagged) is None
    assert_same(recogniser.recognise(plain), plain)


@pytest.mark.parametrize("version", VERSIONS)
def test_cut_and_longer_frames_go_through_the_codec(version: int) -> None:
    recogniser = ProduceRecogniser(ProduceShapes())
    frame = a_frame(a_request(version, a_batch()))
    learn(recogniser, frame)
    for end in range(len(frame)):
        assert recogniser.recognise(frame[:end]) is None
    assert recogniser.recognise(frame + b"\0") is None


@pytest.mark.parametrize("version", VERSIONS)
@given(junk=st.binary(max_size=40))
def test_junk_behind_a_known_start_is_never_taken_for_a_request_that_the_codec_refuses(
    version: int, junk: bytes
) -> None:
    recogniser = ProduceRecogniser(ProduceShapes())
    frame = a_frame(a_request(version, a_batch()))
    learn(recogniser, frame)
    start = frame[: frame.index(a_batch()) - (2 if version >= 9 else 4)]
    found = recogniser.recognise(start + junk)
    if found is not None:
        assert_same(found, start + junk)


def test_topics_with_names_of_several_lengths_share_a_connection() -> None:
    recogniser = ProduceRecogniser(ProduceShapes())
    frames = [a_frame(a_request(12, a_batch(), topic="t" * length)) for length in (1, 5, 9, 200)]
    for frame in frames:
        learn(recogniser, frame)
    for frame in frames:
        assert_same(recogniser.recognise(frame), frame)


def test_connections_share_shapes_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_produce, "_SHAPES_MAX", 2)
    shapes = ProduceShapes()
    one, other = ProduceRecogniser(shapes), ProduceRecogniser(shapes)
    frames = [a_frame(a_request(12, a_batch(), partition=number)) for number in range(3)]
    learn(one, frames[0])
    learn(other, frames[1])
    assert_same(one.recognise(frames[1]), frames[1])
    learn(one, frames[2])
    assert one.recognise(frames[0]) is None
    assert_same(one.recognise(frames[2]), frames[2])
