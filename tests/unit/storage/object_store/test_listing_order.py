"""Listings of any keys, under any prefix and start, are what sorting all keys by their bytes gives."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from raylog.model.clock import SystemClock
from raylog.storage.local_store import LocalStore
from raylog.storage.memory_store import MemoryStore
from raylog.storage.object_store import ObjectStore

# Characters on both sides of "/" in byte order, so that names compare differently from folders.
_segments = st.text(alphabet="a!-.0~ä", min_size=1, max_size=3).filter(lambda text: text not in (".", ".."))
_keys = st.lists(_segments, min_size=1, max_size=4).map("/".join)


def without_folders_of_others(keys: list[str]) -> list[str]:
    """A key that is another's folder is what a local folder cannot keep."""
    return [key for key in set(keys) if not any(other.startswith(f"{key}/") for other in keys)]


@settings(max_examples=60, deadline=None)
@given(
    keys=st.lists(_keys, max_size=12).map(without_folders_of_others),
    prefixes=st.lists(st.one_of(st.just(""), _keys, _keys.map(lambda key: f"{key}/")), min_size=1, max_size=3),
    starts=st.lists(st.one_of(st.just(""), _keys, _keys.map(lambda key: f"{key}/")), min_size=1, max_size=3),
)
def test_a_listing_is_the_sorted_keys_that_match(keys: list[str], prefixes: list[str], starts: list[str]) -> None:
    async def check(store: ObjectStore) -> None:
        for key in keys:
            await store.put(key, [b""])
        for prefix in (*prefixes, *keys[:2], *(key[:-1] for key in keys[:2])):
            for start in (*starts, *keys[-2:]):
                listed = [meta.key async for meta in store.list(prefix, start_after=start)]
                expected = [key for key in keys if key.startswith(prefix) and key.encode() > start.encode()]
                assert listed == sorted(expected, key=str.encode)
        await store.close()

    async def main(folder: Path) -> None:
        await check(MemoryStore(SystemClock()))
        await check(await LocalStore.open(folder))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
