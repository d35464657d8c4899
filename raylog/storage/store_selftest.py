"""The proof, made at start, that the bucket keeps the promise on which all fencing stands: If-None-Match refuses an overwrite.

Some S3 look-alikes ignore the header, others look and write in two steps and let two racers win. Either would let two leaders
acknowledge different records, so Raylog does not start on them. Takes five requests one after another.
"""

import asyncio

from raylog.model.clock import Random
from raylog.model.errors import AlreadyExistsError, InvalidError
from raylog.storage.keys import SELF_TEST_PREFIX
from raylog.storage.object_store import ObjectStore

RACERS = 8
_BODY_BYTES = 128


async def self_test(store: ObjectStore, *, rng: Random) -> None:
    """Raises InvalidError, in one sentence, when the store lets a conditional PUT overwrite an object."""
    room = f"{SELF_TEST_PREFIX}{rng.getrandbits(64):016x}/"
    alone, raced = f"{room}alone", f"{room}raced"
    try:
        await _prove_alone(store, alone, rng)
        await _prove_raced(store, raced, rng)
    finally:
        await store.delete([alone, raced])


async def _prove_alone(store: ObjectStore, key: str, rng: Random) -> None:
    first, second = rng.randbytes(_BODY_BYTES), rng.randbytes(_BODY_BYTES)
    await store.put_if_absent(key, [first])
    try:
        await store.put_if_absent(key, [second])
    except AlreadyExistsError:
        if await store.get(key) == first:
            return
    raise InvalidError(
        f"The store {store.url} overwrites objects in spite of If-None-Match, so Raylog's data would not be safe there: "
        "use Amazon S3, a recent MinIO or another store with conditional writes."
    )


async def _prove_raced(store: ObjectStore, key: str, rng: Random) -> None:
    bodies = [rng.randbytes(_BODY_BYTES) for _ in range(RACERS)]
    results = await asyncio.gather(*(store.put_if_absent(key, [body]) for body in bodies), return_exceptions=True)
    for result in results:
        if result is not None and not isinstance(result, AlreadyExistsError):
            raise result
    winners = [body for body, result in zip(bodies, results, strict=True) if result is None]
    if len(winners) != 1 or await store.get(key) != winners[0]:
        raise InvalidError(
            f"The store {store.url} let {len(winners)} of {RACERS} concurrent PUTs with If-None-Match win where one may, so "
            "Raylog's data would not be safe there: use Amazon S3, a recent MinIO or another store with conditional writes."
        )
