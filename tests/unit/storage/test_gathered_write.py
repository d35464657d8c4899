"""Buffers arrive in a file in order and whole, in pieces of one size, whatever the kernel takes of each write."""

import os
import random
from pathlib import Path

import pytest

from raylog.storage import gathered_write
from raylog.storage.gathered_write import PIECE_BYTES, write_at


@pytest.mark.parametrize("taken", [1, 7, 4096])
def test_a_write_that_the_kernel_cuts_short_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    real = os.pwritev

    def pwritev(fd: int, parts: list[memoryview], position: int) -> int:
        return real(fd, [memoryview(b"".join(parts))[:taken]], position)

    monkeypatch.setattr(gathered_write.os, "pwritev", pwritev)
    parts = [b"", b"abc", bytearray(b"defgh"), memoryview(b"ij"), b"", b"k" * 100]
    with open(tmp_path / "f", "wb") as file:
        assert write_at(file.fileno(), parts, 3) == 3 + 110
    assert (tmp_path / "f").read_bytes() == bytes(3) + b"".join(parts)


@pytest.mark.parametrize(
    "sizes",
    [(), (0,), (1, 0, 7), (PIECE_BYTES,), (PIECE_BYTES - 1, 2), (3, 4 * PIECE_BYTES + 1, 5), (9,) * 9],
)
def test_it_is_written_in_pieces_of_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    written: list[int] = []
    real = os.pwritev

    def pwritev(fd: int, parts: list[memoryview], position: int) -> int:
        written.append(real(fd, parts, position))
        return written[-1]

    monkeypatch.setattr(gathered_write.os, "pwritev", pwritev)
    parts = [random.Random(index).randbytes(size) for index, size in enumerate(sizes)]
    with open(tmp_path / "f", "wb") as file:
        write_at(file.fileno(), parts, 0)
    assert (tmp_path / "f").read_bytes() == b"".join(parts)
    whole, rest = divmod(sum(sizes), PIECE_BYTES)
    assert written == [PIECE_BYTES] * whole + [rest] * bool(rest)


def test_there_may_be_more_buffers_than_a_system_call_takes(tmp_path: Path) -> None:
    parts = [b"%d," % number for number in range(5_000)]
    with open(tmp_path / "f", "wb") as file:
        write_at(file.fileno(), parts, 0)
    assert (tmp_path / "f").read_bytes() == b"".join(parts)
