"""What is particular to a folder as bucket: files under their keys, durability in the right order, crashes, several processes."""

import asyncio
import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from raylog.model.errors import AlreadyExistsError, InvalidError, NotFoundError, RetryError
from raylog.protocol.file_range import FILE_BYTES_MIN
from raylog.storage import file_ranges
from raylog.storage.local_store import TEMP_FOLDER, LocalStore


async def test_an_object_is_a_file_named_by_its_key(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path / "new" / "bucket")
    await store.put("leaders/1/log/7", [b"content"])
    assert (tmp_path / "new" / "bucket" / "leaders/1/log/7").read_bytes() == b"content"
    assert store.url == (tmp_path / "new" / "bucket").as_uri()
    await store.close()


async def test_another_store_on_the_folder_sees_everything(tmp_path: Path) -> None:
    one, other = await LocalStore.open(tmp_path), await LocalStore.open(tmp_path)
    await one.put_if_absent("a/1", [b"one"])
    with pytest.raises(AlreadyExistsError):
        await other.put_if_absent("a/1", [b"other"])
    await other.delete(["a/1"])
    with pytest.raises(NotFoundError):
        await one.get("a/1")
    await one.close()
    await other.put_if_absent("a/1", [b"other"])
    await other.close()


@pytest.mark.parametrize("overwrite", [True, False])
async def test_bytes_are_durable_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    store = await LocalStore.open(tmp_path)
    steps: list[str] = []

    def spied(name: str, describe: Callable[..., str]) -> None:
        real = getattr(os, name)

        def spy(*args: object) -> object:
            result = real(*args)
            steps.append(describe(*args))
            return result

        monkeypatch.setattr(os, name, spy)

    spied("pwritev", lambda *_: "write")
    spied("fdatasync", lambda _: "sync file")
    spied("link", lambda _, to: f"name {to}")
    spied("rename", lambda _, to: f"name {to}")
    spied("fsync", lambda fd: f"sync {os.readlink(f'/proc/self/fd/{fd}')}")
    put = store.put if overwrite else store.put_if_absent
    await put("a/b/1", [b"x"])
    await put("a/b/2", [b"x"])
    await store.close()
    folder = tmp_path / "a" / "b"
    assert steps == [
        "write", "sync file", f"sync {tmp_path / 'a'}", f"sync {tmp_path}", f"name {folder / '1'}", f"sync {folder}",
        "write", "sync file", f"name {folder / '2'}", f"sync {folder}",
    ]  # fmt: skip


async def test_a_folder_removed_behind_its_back_is_made_again(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("a/b/1", [b"x"])
    (tmp_path / "a/b/1").unlink()
    (tmp_path / "a/b").rmdir()
    await store.put_if_absent("a/b/2", [b"y"])
    assert await store.get("a/b/2") == b"y"
    await store.close()


async def test_no_temporary_file_outlives_a_put_that_worked_or_failed(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("k", [b"x"])
    with pytest.raises(AlreadyExistsError):
        await store.put_if_absent("k", [b"x"])
    with pytest.raises(InvalidError):
        await store.put("k/below-an-object", [b"x"])
    assert [path.name for path in (tmp_path / TEMP_FOLDER).iterdir() if path.suffix != ".lock"] == []
    await store.close()
    assert list((tmp_path / TEMP_FOLDER).iterdir()) == []


_WRITER_THAT_DIES = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from raylog.storage.local_files import TempFolder
    temp = TempFolder(Path(sys.argv[1]))
    temp.open()
    temp.new_path().write_bytes(b"half an obj")
    print("ready", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    sys.stdin.read()
    """
)


async def killed_or_living_writer(temp: Path, fate: str) -> asyncio.subprocess.Process:
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER_THAT_DIES, str(temp), fate, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert await writer.stdout.readline() == b"ready\n"
    return writer


async def test_what_a_killed_writer_left_is_removed_and_a_living_ones_files_are_kept(tmp_path: Path) -> None:
    temp = tmp_path / TEMP_FOLDER
    killed = await killed_or_living_writer(temp, "die")
    await killed.communicate()
    assert killed.returncode == -9
    left_by_killed = set(temp.iterdir())
    assert len(left_by_killed) == 2
    living = await killed_or_living_writer(temp, "live")
    left_by_living = set(temp.iterdir()) - left_by_killed
    assert len(left_by_living) == 2
    store = await LocalStore.open(tmp_path)
    there = set(temp.iterdir())
    assert not there & left_by_killed
    assert left_by_living <= there
    await store.close()
    await living.communicate(b"")  # Closes its standard input, at which it ends.
    await (await LocalStore.open(tmp_path)).close()
    assert set(temp.iterdir()) == set()


async def test_the_temporary_folder_is_neither_listed_nor_reachable(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("k", [b"x"])
    assert [meta.key async for meta in store.list("")] == ["k"]
    with pytest.raises(InvalidError, match="own folder"):
        await store.get(f"{TEMP_FOLDER}/k")
    await store.close()


async def test_a_key_below_an_object_is_refused_with_a_sentence(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("a", [b"x"])
    with pytest.raises(InvalidError, match="an object has the name of this folder"):
        await store.put_if_absent("a/b", [b"x"])
    await store.close()


async def test_a_folder_that_cannot_be_used_is_refused_at_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidError, match="cannot be used as a bucket"):
        await LocalStore.open(tmp_path / "file")
    with pytest.raises(InvalidError, match="cannot be used as a bucket"):
        await LocalStore.open(tmp_path / "file" / "below")


async def test_a_full_disk_is_an_error_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await LocalStore.open(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(RetryError, match="No space left on device"):
        await store.put("k", [b"x"])
    monkeypatch.undo()
    await store.put("k", [b"x"])
    await store.close()


async def test_what_was_read_stays_when_more_is_read(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("a", [b"first"])
    await store.put("b", [b"other"])
    first = await store.get("a", start=0, length=5)
    assert await store.get("b", start=1, length=100) == b"ther"
    assert await store.get_tail("b", 3) == b"her"
    assert await store.get_tail("b", 100) == b"other"
    assert await store.get("a", start=5, length=1) == b""
    assert first == b"first"
    await store.close()


def _not_in_memory(*_: object) -> int:
    raise BlockingIOError(errno.EAGAIN, "the disk has to be asked")


def _unable_to_tell(*_: object) -> int:
    raise OSError(errno.EOPNOTSUPP, "this file system has no such reads")


def _half_in_memory(_fd: int, buffers: Sequence[memoryview], *_: object) -> int:
    buffers[0][:2] = b"co"
    return 2


@pytest.mark.parametrize("answer", [_not_in_memory, _unable_to_tell, _half_in_memory])
async def test_what_is_not_in_memory_is_read_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., int]
) -> None:
    asked = []
    monkeypatch.setattr(os, "RWF_NOWAIT", 8, raising=False)  # as on Linux
    monkeypatch.setattr(os, "preadv", lambda *args: asked.append(args) or answer(*args))
    store = await LocalStore.open(tmp_path)
    await store.put("a", [b"content"])
    assert await store.get("a", start=0, length=7) == b"content"
    assert await store.get("a", start=3, length=9) == b"tent"
    assert await store.get_tail("a", 4) == b"tent"
    assert await store.get_tail("a", 9) == b"content"
    assert len(asked) == (1 if answer is _unable_to_tell else 5)  # once when the store is opened
    assert store.has_files == (answer is not _unable_to_tell)
    with pytest.raises(NotFoundError):
        await store.get("missing", start=0, length=1)
    with pytest.raises(NotFoundError):
        await store.get_tail("missing", 1)
    await store.close()


async def test_a_part_of_a_file_is_given_of_what_is_in_memory(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    content = bytes(range(256)) * 2048
    await store.put("a/b", [content])
    found = store.file_range("a/b", 1000, 400_000)
    assert found is not None and len(found) == 400_000
    await store.delete(["a/b"])
    assert found.read() == content[1000:401_000]  # whoever has begun may finish
    await store.close()


async def test_a_part_of_a_file_is_not_given_where_reading_tells_more(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("a", [bytes(200_000)])
    assert store.file_range("a", 100_000, 100_001) is None
    assert store.file_range("missing", 0, 100_000) is None
    await store.close()


async def test_a_part_of_a_file_is_not_given_of_what_the_disk_would_have_to_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await LocalStore.open(tmp_path)
    await store.put("a", [bytes(1 << 20)])
    real = os.preadv

    def beginning_in_memory(fd: int, buffers: Sequence[memoryview], offset: int, flags: int = 0) -> int:
        if offset >= 900_000:
            raise BlockingIOError(errno.EAGAIN, "the disk has to be asked")
        return real(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", beginning_in_memory)
    assert store.file_range("a", 0, 1 << 20) is None
    assert store.file_range("a", 0, 900_001) is None
    assert store.file_range("a", 0, 900_000) is not None
    await store.close()


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _write_files(folder: Path, count: int) -> list[str]:
    names = [str(number) for number in range(count)]
    for name in names:
        (folder / name).write_bytes(bytes(FILE_BYTES_MIN))
    return names


async def test_so_many_files_are_open_for_parts_of_them_and_none_when_the_store_is_closed(tmp_path: Path) -> None:
    store = await LocalStore.open(tmp_path)
    names = _write_files(tmp_path, 300)
    before = _open_files()
    held = [found for name in names if (found := store.file_range(name, 0, FILE_BYTES_MIN))]
    assert len(held) == 256
    again = store.file_range(names[0], 0, FILE_BYTES_MIN)
    assert again is not None and again.file is held[0].file
    del held, again
    assert store.file_range(names[-1], 0, FILE_BYTES_MIN) is not None  # what nobody holds makes room
    await store.close()
    assert _open_files() == before - 1  # and the store's own lock


async def test_a_file_stays_open_while_it_is_used_again_and_is_closed_soon_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_ranges, "_UNUSED_S", 0.01)
    store = await LocalStore.open(tmp_path)
    used, unused = _write_files(tmp_path, 2)
    before = _open_files()
    assert store.file_range(unused, 0, FILE_BYTES_MIN) is not None
    first = store.file_range(used, 0, FILE_BYTES_MIN)
    assert first is not None
    number = first.file.fd
    del first
    while _open_files() > before + 1:
        again = store.file_range(used, 0, FILE_BYTES_MIN)
        assert again is not None and again.file.fd == number
        del again
        await asyncio.sleep(0)
    while _open_files() > before:  # noqa: ASYNC110  (nobody tells)
        await asyncio.sleep(0)
    await store.close()
