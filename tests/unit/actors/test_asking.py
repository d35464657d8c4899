"""Questions to Ray, which may block for long: what comes of them, and who waits for them."""

import asyncio
import threading

import pytest
from ray.exceptions import GetTimeoutError

from actors.asking import ask_ray, in_a_thread
from raylog.model.errors import RetryError


async def test_what_ray_says_instead_of_an_answer_is_one_error() -> None:
    def ask() -> None:
        raise GetTimeoutError("The GCS is away.")

    with pytest.raises(RetryError, match="GetTimeoutError"):
        await ask_ray(ask)


async def test_nobody_else_waits_for_questions() -> None:
    answers = threading.Event()
    questions = [asyncio.ensure_future(in_a_thread(answers.wait)) for _ in range(100)]
    await asyncio.sleep(0)
    try:
        assert await asyncio.to_thread(lambda: "done") == "done"
    finally:
        answers.set()
    assert all(await asyncio.gather(*questions))
