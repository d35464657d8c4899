"""A gateway may open as many files as the system lets it, and says so when those are too few."""

import resource

import pytest

from actors.open_files import allow_open_files
from raylog.model.logs import role_logger


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    held = {"now": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: held["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: held.update(now=both))
    return held


def test_the_soft_limit_is_raised_to_the_hard_one(
    limits: dict[str, tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    assert allow_open_files(1000, role_logger("gateway")) == 4096
    assert limits["now"] == (4096, 4096)
    assert not caplog.records


def test_too_low_a_hard_limit_is_told(limits: dict[str, tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    allow_open_files(10_000, role_logger("gateway"))
    assert "too low for gateway.connections_max" in caplog.text
    assert limits["now"] == (4096, 4096)
