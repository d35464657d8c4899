"""Parts of files among frames: sent whole and in order over real sockets, on both loops, however slowly the peer takes them."""

import asyncio
import gc
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from raylog.protocol.file_range import FILE_BYTES_MIN, FileRange, OpenFile
from raylog.protocol.framing import FrameProtocol

CONTENT = bytes(index * 7 % 251 for index in range(251)) * 40_000
"""10 MB: more than a socket's buffers take at once."""

Scenario = Callable[["Sender", asyncio.StreamReader, Path], Awaitable[None]]


class Sender(FrameProtocol):
    """The side that sends; what it is told is noted."""

    def __init__(self) -> None:
        super().__init__(max_frame_bytes=1 << 20)
        self.opened = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()

    def connection_opened(self) -> None:
        self.opened.set_result(None)

    def connection_closed(self, error: Exception | None) -> None:
        self.closed.set_result(error)


def part(path: Path, start: int, size_bytes: int) -> FileRange:
    return FileRange(OpenFile(os.open(path, os.O_RDONLY)), start, size_bytes)


async def connected(scenario: Scenario, folder: Path) -> None:
    file = folder / "content"
    file.write_bytes(CONTENT)
    sender = Sender()
    server = await asyncio.get_running_loop().create_server(lambda: sender, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await sender.opened
    try:
        await scenario(sender, reader, file)
    finally:
        sender.abort()
        writer.close()
        server.close()
        await sender.closed


def run(scenario: Scenario, runner: Callable[..., None], folder: Path) -> None:
    runner(connected(scenario, folder))
    gc.collect()


runners = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])


@runners
def test_parts_of_files_and_bytes_arrive_in_the_order_written(runner: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        head, large = struct.pack(">i", 5), b"x" * 300_000
        sender.write([head, b"small"])
        sender.write([head, part(file, 1000, FILE_BYTES_MIN), b"between", part(file, 77, 3_000_000)])
        sender.write([large])  # waits behind the files, as all that follows until they have left
        sender.write([part(file, 5_000_000, 4_000_000), b"end"])
        wanted = [head, b"small", head, CONTENT[1000 : 1000 + FILE_BYTES_MIN], b"between", CONTENT[77:3_000_077], large]
        wanted += [CONTENT[5_000_000:9_000_000], b"end"]
        total = sum(map(len, wanted))
        assert await reader.readexactly(total) == b"".join(wanted)
        assert sender.traffic.sent_bytes == total
        sender.write([b"again"])  # by the transport
        assert await reader.readexactly(5) == b"again"

    run(scenario, runner, tmp_path)


@runners
def test_a_peer_that_takes_nothing_is_noticed_and_what_it_takes_then_is_whole(
    runner: Callable[..., None], tmp_path: Path
) -> None:
    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        sender.limit_unsent(100_000)
        rounds = 0
        while sender.is_writable:
            sender.write([struct.pack(">i", rounds), part(file, rounds, 9_000_000)])
            await asyncio.sleep(0)
            rounds += 1
        drained = asyncio.ensure_future(sender.drained())
        await asyncio.sleep(0)
        assert not drained.done()
        for number in range(rounds):
            assert await reader.readexactly(4) == struct.pack(">i", number)
            assert await reader.readexactly(9_000_000) == CONTENT[number : number + 9_000_000]
        await drained
        assert sender.is_writable

    run(scenario, runner, tmp_path)


@runners
def test_bytes_that_the_transport_has_yet_to_send_come_first(runner: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        sender.write([CONTENT, CONTENT])
        sender.write([part(file, 3, 200_000), b"end"])
        assert sender._transport is not None and sender._transport.get_write_buffer_size()
        wanted = CONTENT + CONTENT + CONTENT[3:200_003] + b"end"
        assert await reader.readexactly(len(wanted)) == wanted

    run(scenario, runner, tmp_path)


@runners
def test_a_close_waits_until_all_is_sent(runner: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        sender.write([part(file, 0, len(CONTENT)), b"end"])
        sender.close()
        assert sender.is_closed
        assert await reader.read() == CONTENT + b"end"
        assert await sender.closed is None

    run(scenario, runner, tmp_path)


@runners
def test_an_abort_drops_what_is_unsent_and_closes_the_file(runner: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        sent = part(file, 0, len(CONTENT))
        fd = sent.file.fd
        sender.write([sent])
        del sent
        sender.abort()
        await sender.closed
        assert len(await reader.read()) < len(CONTENT)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    run(scenario, runner, tmp_path)


@runners
def test_a_peer_that_goes_away_ends_the_connection(runner: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        sender.write([part(file, 0, len(CONTENT))])
        reader._transport.abort()  # type: ignore[attr-defined]
        await sender.closed

    run(scenario, runner, tmp_path)


@runners
def test_a_file_that_was_cut_short_closes_the_connection_and_sends_nothing_false(
    runner: Callable[..., None], tmp_path: Path
) -> None:
    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        cut = part(file, 0, len(CONTENT))
        os.truncate(file, 100_000)
        sender.write([cut, b"end"])
        received = b""
        with pytest.raises(ConnectionResetError):  # an abort, so that it cannot look like an end
            while more := await reader.read(1 << 16):
                received += more
            raise ConnectionResetError
        assert CONTENT.startswith(received)
        await sender.closed

    run(scenario, runner, tmp_path)


@runners
def test_a_peer_that_takes_all_at_once_does_not_get_the_loop_for_itself(
    runner: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def take(_out: int, _from: int, start: int, size_bytes: int) -> int:
        assert start == sum(taken)
        taken.append(size_bytes)
        return size_bytes

    async def scenario(sender: Sender, reader: asyncio.StreamReader, file: Path) -> None:
        monkeypatch.setattr(os, "sendfile", take)
        sender.limit_unsent(1000)
        sender.write([part(file, start, len(CONTENT) // 10) for start in range(0, len(CONTENT), len(CONTENT) // 10)])
        assert 4 << 20 <= sum(taken) < 6 << 20 and not sender.is_writable
        await sender.drained()
        assert sum(taken) == len(CONTENT)

    run(scenario, runner, tmp_path)
