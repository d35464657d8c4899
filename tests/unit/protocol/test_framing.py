"""Frames come out whole and in order however the bytes arrive; limits, pauses and back-pressure hold."""

import asyncio
import gc
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from raylog.model.errors import InvalidError
from raylog.protocol.framing import FrameProtocol

MAX_FRAME_BYTES = 20_000_000
RECEIVE_BYTES = 64 * 1024


class Recorder(FrameProtocol):
    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        super().__init__(max_frame_bytes=max_frame_bytes)
        self.frames: list[bytes | memoryview] = []
        self.announced: list[int] = []
        self.accepts = True
        self.refused: InvalidError | None = None
        self.events: list[str] = []
        self.error: Exception | None = None
        self.on_frame: Callable[[], None] = lambda: None

    def connection_opened(self) -> None:
        self.events.append("opened")

    def frame_received(self, frame: bytes | memoryview) -> None:
        self.frames.append(frame)
        self.on_frame()

    def frame_announced(self, size_bytes: int) -> bool:
        self.announced.append(size_bytes)
        return self.accepts

    def frame_refused(self, error: InvalidError) -> None:
        self.refused = error

    def connection_closed(self, error: Exception | None) -> None:
        self.events.append("closed")
        self.error = error


class Wire(asyncio.Transport):
    """A transport in memory: what it is told to send is kept; ``feed`` is the other side's writing."""

    def __init__(self, protocol: FrameProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.sent = b""
        self.is_paused = False
        self.is_gone = False
        protocol.connection_made(self)

    def feed(self, data: bytes, chunk_bytes: int = 1 << 30) -> int:
        """Give bytes in chunks of at most this size while reading is not paused; how many were taken."""
        position = 0
        while position < len(data) and not self.is_paused and not self.is_gone:
            buffer = self.protocol.get_buffer(-1)
            assert len(buffer) > 0
            chunk = data[position : position + min(chunk_bytes, len(buffer))]
            buffer[: len(chunk)] = chunk
            position += len(chunk)
            self.protocol.buffer_updated(len(chunk))
        return position

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False

    def close(self) -> None:
        self.is_gone = True

    def abort(self) -> None:
        self.is_gone = True

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 4711) if name == "peername" else default


def framed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(body)) + body for body in bodies)


def body_of(size: int, seed: int = 0) -> bytes:
    return bytes((i * 7 + seed) % 256 for i in range(min(size, 251))) * (size // 251 + 1)


def some(size: int, seed: int = 0) -> bytes:
    return body_of(size, seed)[:size]


_sizes = st.one_of(
    st.integers(0, 40),
    st.integers(RECEIVE_BYTES - 8, RECEIVE_BYTES + 8),
    st.integers(2 * RECEIVE_BYTES - 8, 2 * RECEIVE_BYTES + 8),
    st.integers(200_000, 300_000),
)


@settings(deadline=None)
@given(st.lists(_sizes, max_size=8), st.one_of(st.integers(1, 20), st.integers(1000, 200_000)))
def test_frames_come_out_whole_and_in_order(sizes: list[int], chunk_bytes: int) -> None:
    if sum(sizes) > 100_000 and chunk_bytes <= 20:
        chunk_bytes += 5000
    bodies = [some(size, seed) for seed, size in enumerate(sizes)]
    protocol = Recorder()
    Wire(protocol).feed(framed(*bodies), chunk_bytes)
    assert [bytes(frame) for frame in protocol.frames] == bodies
    assert all(memoryview(frame).readonly for frame in protocol.frames)


@settings(deadline=None)
@given(st.lists(_sizes, min_size=1, max_size=8), st.integers(1000, 200_000), st.data())
def test_pausing_at_any_frame_loses_nothing(sizes: list[int], chunk_bytes: int, data: st.DataObject) -> None:
    bodies = [some(size, seed) for seed, size in enumerate(sizes)]
    stream = framed(*bodies)
    protocol = Recorder()
    wire = Wire(protocol)
    pause_after = data.draw(st.sets(st.integers(1, len(bodies))))

    def pause() -> None:
        if len(protocol.frames) in pause_after:
            protocol.pause_reading()

    protocol.on_frame = pause
    position = 0
    while position < len(stream) or wire.is_paused:
        position += wire.feed(stream[position:], chunk_bytes)
        if wire.is_paused:
            seen = len(protocol.frames)
            assert seen in pause_after
            protocol.resume_reading()
    assert [bytes(frame) for frame in protocol.frames] == bodies


def test_frames_stay_valid_while_others_arrive() -> None:
    protocol = Recorder()
    wire = Wire(protocol)
    first, large = some(100, 1), some(300_000, 2)
    wire.feed(framed(first, large))
    wire.feed(framed(*[some(60_000, seed) for seed in range(10)], some(400_000, 3)))
    assert bytes(protocol.frames[0]) == first
    assert bytes(protocol.frames[1]) == large


def test_a_growing_frame_is_received_whole() -> None:
    large = some(15_000_000)
    protocol = Recorder()
    Wire(protocol).feed(framed(large, b"after"), 1_000_000)
    assert [bytes(frame) for frame in protocol.frames] == [large, b"after"]
    assert protocol.announced == [15_000_000]


def test_an_announced_size_alone_claims_little_memory() -> None:
    protocol = Recorder(max_frame_bytes=2_000_000_000)
    wire = Wire(protocol)
    wire.feed(struct.pack(">i", 2_000_000_000) + bytes(100))
    assert len(protocol.get_buffer(-1)) < 5_000_000


@pytest.mark.parametrize("size", [-1, -(2**31), MAX_FRAME_BYTES + 1, 2**31 - 1])
def test_a_size_that_is_no_frames_ends_the_connection(size: int) -> None:
    protocol = Recorder()
    wire = Wire(protocol)
    wire.feed(framed(b"good") + struct.pack(">i", size) + framed(b"never seen"))
    assert [bytes(frame) for frame in protocol.frames] == [b"good"]
    assert str(size) in str(protocol.refused)
    assert wire.is_gone
    assert protocol.is_closed


def test_a_frame_of_the_largest_size_is_taken() -> None:
    protocol = Recorder(max_frame_bytes=100_000)
    Wire(protocol).feed(framed(bytes(100_000), b""))
    assert [len(frame) for frame in protocol.frames] == [100_000, 0]


def test_a_large_frame_waits_until_it_is_let_in() -> None:
    protocol = Recorder()
    wire = Wire(protocol)
    protocol.accepts = False
    large = some(500_000)
    stream = framed(b"small", large, b"after")
    taken = wire.feed(stream)
    assert [bytes(frame) for frame in protocol.frames] == [b"small"]
    assert not protocol.is_reading
    protocol.resume_reading()
    assert not protocol.is_reading
    protocol.accepts = True
    protocol.resume_reading()
    assert protocol.is_reading
    wire.feed(stream[taken:])
    assert [bytes(frame) for frame in protocol.frames] == [b"small", large, b"after"]
    assert protocol.announced == [500_000] * 3


def test_pause_and_resume_inside_a_callback() -> None:
    protocol = Recorder()
    wire = Wire(protocol)

    def pause_and_resume() -> None:
        protocol.pause_reading()
        protocol.resume_reading()

    protocol.on_frame = pause_and_resume
    wire.feed(framed(b"a", b"b", b"c"))
    assert [bytes(frame) for frame in protocol.frames] == [b"a", b"b", b"c"]
    assert not wire.is_paused


def test_closing_in_a_callback_hands_out_nothing_more() -> None:
    protocol = Recorder()
    wire = Wire(protocol)
    protocol.on_frame = protocol.close
    wire.feed(framed(b"a", b"b"))
    assert [bytes(frame) for frame in protocol.frames] == [b"a"]
    protocol.write([b"dropped"])
    assert wire.sent == b""


async def test_what_is_written_leaves_in_order_at_the_end_of_the_turn() -> None:
    protocol = Recorder()
    wire = Wire(protocol)
    protocol.write([b"a", memoryview(b"b")])
    protocol.write([bytearray(b"c")])
    assert wire.sent == b""
    await asyncio.sleep(0)
    assert wire.sent == b"abc"
    protocol.write([b"d"])
    protocol.close()
    assert wire.sent == b"abcd"
    assert protocol.peer_name == "127.0.0.1:4711"


async def test_writers_wait_while_the_peer_does_not_read() -> None:
    protocol = Recorder()
    Wire(protocol)
    await protocol.drained()
    protocol.pause_writing()
    assert not protocol.is_writable
    waiting = [asyncio.ensure_future(protocol.drained()) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0)
    assert not any(waiter.done() for waiter in waiting)
    waiting[0].cancel()
    protocol.resume_writing()
    await asyncio.gather(*waiting[1:])
    assert protocol.is_writable


async def test_writers_learn_that_the_connection_is_gone() -> None:
    protocol = Recorder()
    Wire(protocol)
    protocol.pause_writing()
    waiting = asyncio.ensure_future(protocol.drained())
    await asyncio.wait([waiting], timeout=0)
    protocol.connection_lost(OSError("cut"))
    with pytest.raises(ConnectionResetError):
        await waiting
    with pytest.raises(ConnectionResetError):
        await protocol.drained()
    assert protocol.events == ["opened", "closed"]
    assert isinstance(protocol.error, OSError)


class Echo(FrameProtocol):
    """Sends each frame back, and does not read while the peer does not."""

    def frame_received(self, frame: bytes | memoryview) -> None:
        self.write([struct.pack(">i", len(frame)), frame])
        if not self.is_writable:
            self.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.resume_reading()


async def _echoed(path: Path, sizes: list[int]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Echo(max_frame_bytes=MAX_FRAME_BYTES), str(path))
    done = loop.create_future()
    client = Recorder()

    def check() -> None:
        if len(client.frames) == len(sizes):
            done.set_result(None)

    client.on_frame = check
    await loop.create_unix_connection(lambda: client, str(path))
    bodies = [some(size, seed) for seed, size in enumerate(sizes)]
    for body in bodies:
        client.write([struct.pack(">i", len(body)), body])
        await client.drained()
    await done
    assert [bytes(frame) for frame in client.frames] == bodies
    client.close()
    server.close()


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_over_a_real_socket(runner: Callable[..., None], tmp_path: Path) -> None:
    sizes = [0, 1, 100, 5_000, RECEIVE_BYTES - 4, RECEIVE_BYTES, 1_000_000, 5_000_000, 3] * 5
    runner(_echoed(tmp_path / "echo.sock", sizes))
    gc.collect()
