"""Signals while a command starts, serves and stops."""

import signal
from collections.abc import Iterator

import pytest

from raylog.cli.interrupts import InterruptedStartError, Interrupts


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    made = Interrupts()
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_is_acted_on_at_the_next_check(interrupts: Interrupts, number: signal.Signals, code: int) -> None:
    interrupts.check()
    signal.raise_signal(number)
    with pytest.raises(InterruptedStartError):
        interrupts.check()
    assert interrupts.exit_code == code
    interrupts.wait()


def test_the_second_ends_the_command_at_once(interrupts: Interrupts) -> None:
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_handlers_that_somebody_else_has_put_in_place_are_replaced(interrupts: Interrupts) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    interrupts.check()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(InterruptedStartError):
        interrupts.check()
