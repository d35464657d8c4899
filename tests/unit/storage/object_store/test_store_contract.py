"""The port's rules, on every backend: whoever uses a store must not need to know which one it is."""

import asyncio
from collections.abc import Sequence

import pytest

from raylog.model.errors import AlreadyExistsError, InvalidError, NotFoundError
from raylog.storage.object_store import ObjectStore


async def keys_of(store: ObjectStore, prefix: str = "", start_after: str = "") -> list[str]:
    return [meta.key async for meta in store.list(prefix, start_after=start_after)]


def named(name: str) -> bytes:
    """A body that says whose it is in its first 64 bytes, as conditional PUTs must."""
    return name.encode().ljust(64, b".")


async def test_an_object_is_what_was_put(store: ObjectStore) -> None:
    await store.put("a/b", [b"hello"])
    assert await store.get("a/b") == b"hello"
    await store.put("a/b", [b"other"])
    assert await store.get("a/b") == b"other"


async def test_a_body_of_many_kinds_of_buffers_is_their_concatenation(store: ObjectStore) -> None:
    body = [b"one", bytearray(b"two"), memoryview(b"-three-")[1:-1], b"", memoryview(bytes(8)).cast("q")]
    await store.put("k", body)
    assert await store.get("k") == b"onetwothree" + bytes(8)


async def test_a_body_of_more_buffers_than_one_system_call_takes(store: ObjectStore) -> None:
    parts = [bytes([number % 251]) * (number % 7) for number in range(5000)]
    await store.put_if_absent("many", [named("many"), *parts])
    assert await store.get("many", start=64) == b"".join(parts)


@pytest.mark.parametrize("body", [[], [b""]])
async def test_an_empty_object(store: ObjectStore, body: Sequence[bytes]) -> None:
    await store.put("empty", body)
    assert await store.get("empty") == b""
    assert await store.get_tail("empty", 10) == b""
    assert (await store.head("empty")).size == 0


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, None, b"0123456789"),
        (0, 4, b"0123"),
        (3, 4, b"3456"),
        (3, None, b"3456789"),
        (8, 100, b"89"),
        (9, 1, b"9"),
        (10, 1, b""),
        (10, None, b""),
        (50, 5, b""),
        (5, 0, b""),
    ],
)
async def test_a_range_is_short_only_at_the_end(
    store: ObjectStore, start: int, length: int | None, expected: bytes
) -> None:
    await store.put("digits", [b"01234", b"56789"])
    assert await store.get("digits", start=start, length=length) == expected


@pytest.mark.parametrize(("length", "expected"), [(0, b""), (3, b"789"), (10, b"0123456789"), (99, b"0123456789")])
async def test_a_tail(store: ObjectStore, length: int, expected: bytes) -> None:
    await store.put("digits", [b"0123456789"])
    assert await store.get_tail("digits", length) == expected


async def test_what_is_absent_is_not_found(store: ObjectStore) -> None:
    await store.put("here/is", [b"x"])
    for key in ("nothing", "here", "here/is-not", "here/is/deeper"):
        with pytest.raises(NotFoundError):
            await store.get(key)
        with pytest.raises(NotFoundError):
            await store.get(key, start=1, length=0)
        with pytest.raises(NotFoundError):
            await store.get_tail(key, 5)
        with pytest.raises(NotFoundError):
            await store.head(key)


async def test_put_if_absent_never_overwrites(store: ObjectStore) -> None:
    await store.put_if_absent("slot/1", [named("first")])
    with pytest.raises(AlreadyExistsError):
        await store.put_if_absent("slot/1", [named("second")])
    assert await store.get("slot/1") == named("first")


@pytest.mark.parametrize("round_number", range(5))
async def test_of_racing_writers_one_wins(store: ObjectStore, round_number: int) -> None:
    async def race(number: int) -> bytes | None:
        body = named(f"racer {number}")
        try:
            await store.put_if_absent("slot/2", [body])
        except AlreadyExistsError:
            return None
        return body

    winners = [body for body in await asyncio.gather(*(race(number) for number in range(10))) if body is not None]
    assert winners == [await store.get("slot/2")]


async def test_a_large_body_appears_whole_and_is_not_overwritten(store: ObjectStore) -> None:
    piece = bytes(range(256)) * 4096
    body = [named("large"), *([piece] * 12), b"end"]
    await store.put_if_absent("large", body)
    with pytest.raises(AlreadyExistsError):
        await store.put_if_absent("large", [named("other"), *([piece] * 12)])
    assert await store.get("large") == b"".join(body)
    assert (await store.head("large")).size == 12 * len(piece) + 67
    await store.put("large", [piece] * 8)
    assert await store.get("large") == piece * 8
    assert await keys_of(store) == ["large"]


async def test_a_part_of_a_file_is_what_get_gives_where_there_are_files(store: ObjectStore) -> None:
    content = bytes(range(256)) * 1024
    await store.put("large", [content])
    found = store.file_range("large", 77, 100_000)
    assert (found is not None) == store.has_files
    assert found is None or found.read() == await store.get("large", start=77, length=100_000)


async def test_head_and_listing_say_the_same(store: ObjectStore) -> None:
    await store.put("x/y", [b"12345"])
    listed = [meta async for meta in store.list("x/")]
    assert listed == [await store.head("x/y")]
    assert listed[0].key == "x/y"
    assert listed[0].size == 5
    assert listed[0].modified_ms > 1_600_000_000_000


async def test_listing_is_in_byte_order_across_folders(store: ObjectStore) -> None:
    keys = ["a-b", "a.b", "a/b", "a/b-c", "a/c/d", "a0", "b", "ä/x", "z", "a/c-", "a/c0", "日本/1", "\U0001f600"]
    for key in keys:
        await store.put(key, [b"x"])
    ordered = sorted(keys, key=str.encode)
    assert await keys_of(store) == ordered
    assert await keys_of(store, "a") == [key for key in ordered if key.startswith("a")]
    assert await keys_of(store, "a/") == ["a/b", "a/b-c", "a/c-", "a/c/d", "a/c0"]
    assert await keys_of(store, "a/c") == ["a/c-", "a/c/d", "a/c0"]
    assert await keys_of(store, "a/c/d") == ["a/c/d"]
    assert await keys_of(store, "nothing/here") == []
    for start_after in (*keys, "a/", "a/c", "a/bb", "0", "zz", "a/c/"):
        expected = [key for key in ordered if key.encode() > start_after.encode()]
        assert await keys_of(store, "", start_after) == expected, start_after
        assert await keys_of(store, "a/", start_after) == [key for key in expected if key.startswith("a/")]


async def test_a_listing_longer_than_a_page(store: ObjectStore) -> None:
    keys = [f"log/{number:08d}" for number in range(1100)]
    for first in range(0, len(keys), 50):
        await asyncio.gather(*(store.put(key, [b"x"]) for key in keys[first : first + 50]))
    assert await keys_of(store, "log/") == keys
    assert await keys_of(store, "log/", keys[1049]) == keys[1050:]
    await store.delete(keys)
    assert await keys_of(store) == []


@pytest.mark.parametrize("prefix", ["/", "//x", "../", "a/../b", "a//b"])
async def test_a_prefix_that_no_key_can_have_lists_nothing(store: ObjectStore, prefix: str) -> None:
    await store.put("a/b", [b"x"])
    assert await keys_of(store, prefix) == []


async def test_deleting_is_repeatable_and_frees_the_key(store: ObjectStore) -> None:
    for key in ("d/1", "d/2", "e"):
        await store.put(key, [b"x"])
    await store.delete(["d/1", "d/2", "d/absent", "nowhere/at-all"])
    await store.delete(["d/1"])
    await store.delete([])
    assert await keys_of(store) == ["e"]
    await store.put_if_absent("d/1", [named("again")])
    assert await store.get("d/1") == named("again")


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", ".", "a\0b", "a\nb", "x" * 1025, "a/" + "y" * 256])
async def test_keys_that_some_backend_could_not_keep_are_refused_by_all(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidError):
        await store.put(key, [b"x"])
    with pytest.raises(InvalidError):
        await store.put_if_absent(key, [b"x"])
    with pytest.raises(InvalidError):
        await store.get(key)
    with pytest.raises(InvalidError):
        await store.delete([key])


async def test_a_reader_sees_one_whole_object_or_the_other(store: ObjectStore) -> None:
    one, other = b"1" * 200_000, b"2" * 300_000
    await store.put("k", [one])

    async def write() -> None:
        for _ in range(10):
            await store.put("k", [other])
            await store.put("k", [one])

    async def read() -> None:
        for _ in range(30):
            assert await store.get("k") in (one, other)

    await asyncio.gather(write(), read(), read())
