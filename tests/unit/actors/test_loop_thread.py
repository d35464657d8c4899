"""A role's process: how it ends when its role does."""

import logging
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from actors import loop_thread
from actors.lasting_errors import forget_errors, raise_told_error
from actors.loop_thread import EXIT_FAILED, EXIT_FENCED, LoopThread
from raylog.model.errors import CorruptError, FencedError
from raylog.model.logs import role_logger


@pytest.fixture
def end_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The exit code of a role's process, and how long it was kept before; nothing really exits or waits."""

    def run(life: Coroutine[Any, Any, None], *, lived_s: float) -> tuple[int, float]:
        ended = threading.Event()
        codes: list[int] = []
        pauses: list[float] = []

        class Clock:
            times = iter([0.0, lived_s])

            def monotonic(self) -> float:
                return next(self.times)

            async def sleep(self, seconds: float) -> None:
                pauses.append(seconds)

        def leave(code: int) -> None:
            codes.append(code)
            ended.set()

        monkeypatch.setattr(loop_thread, "SystemClock", Clock)
        monkeypatch.setattr(loop_thread, "_exit", leave)
        monkeypatch.setattr(loop_thread, "end_with_parent", lambda log: None)  # the tests' own process has no raylet
        LoopThread("test").run_role(life, tmp_path, role_logger("test"))
        assert ended.wait(10)
        return codes[0], sum(pauses)

    logging.getLogger("raylog.test").setLevel(logging.CRITICAL)
    return run


async def fails(error: Exception) -> None:
    raise error


def test_a_role_that_fails_soon_after_its_start_is_not_restarted_at_once(end_of: Any) -> None:
    assert end_of(fails(ValueError("no")), lived_s=1.0) == (EXIT_FAILED, loop_thread.PAUSE_S)
    assert end_of(fails(FencedError("no")), lived_s=1.0) == (EXIT_FENCED, loop_thread.PAUSE_S)


def test_a_role_that_has_served_for_a_while_is_replaced_at_once(end_of: Any) -> None:
    assert end_of(fails(FencedError("no")), lived_s=3600.0) == (EXIT_FENCED, 0)


def test_an_error_that_will_come_again_is_told_to_who_waits_for_the_role(end_of: Any, tmp_path: Path) -> None:
    end_of(fails(FencedError("no")), lived_s=1.0)
    raise_told_error(tmp_path)  # fenced, which is no lasting error: nothing is told
    end_of(fails(CorruptError("Use a newer Raylog.")), lived_s=1.0)
    with pytest.raises(CorruptError, match=r"^Use a newer Raylog\.$"):
        raise_told_error(tmp_path)
    forget_errors(tmp_path)
    raise_told_error(tmp_path)
