"""When a spare worker is asked for, and what is known of a raylet's processes."""

import asyncio
import os
import subprocess
import sys
from contextlib import closing, suppress

import pytest

from actors import spares as spares_module
from actors.settings import PRELOAD_VARIABLE
from actors.spares import SPARE_TITLE, SparePool, SpareWaker, keep_spares, titles_of_children
from raylog.model.clock import SystemClock
from raylog.model.logs import role_logger

ROLES = {10: "ray::GatewayActor", 11: "ray::LeaderActor"}
LATER_S = 10_000.0


def spares(*pids: int) -> dict[int, str]:
    return dict.fromkeys(pids, SPARE_TITLE)


def test_a_spare_is_asked_for_once_nothing_has_started_or_ended_for_a_while() -> None:
    pool = SparePool(wanted=1)
    assert not pool.look(100.0, ROLES)
    assert not pool.look(103.0, ROLES)
    assert pool.look(104.0, ROLES)


def test_a_role_that_ends_or_starts_puts_it_off() -> None:
    pool = SparePool(wanted=1)
    pool.look(100.0, ROLES)
    assert not pool.look(103.0, {10: ROLES[10]})
    assert not pool.look(106.0, {10: ROLES[10], 12: "python"})
    assert not pool.look(109.0, {10: ROLES[10], 12: "python"})
    assert pool.look(110.0, {10: ROLES[10], 12: "python"})


def test_where_processes_come_and_go_all_the_time_a_spare_is_asked_for_in_the_end() -> None:
    pool = SparePool(wanted=1)
    asked_at_s = next(now_s for now_s in range(100, 200) if pool.look(now_s, ROLES | {now_s: "ray::IDLE"}))
    assert asked_at_s == 130


def test_one_at_a_time_until_there_are_enough() -> None:
    pool = SparePool(wanted=2)
    pool.look(100.0, ROLES)
    assert pool.look(104.0, ROLES)
    pool.asked(104.0)
    assert not pool.look(108.0, ROLES)
    assert pool.look(112.0, ROLES | spares(20))
    pool.asked(112.0)
    assert not pool.look(LATER_S, ROLES | spares(20, 21))


def test_a_spare_that_is_put_to_work_is_replaced() -> None:
    pool = SparePool(wanted=1)
    pool.look(100.0, ROLES | spares(20))
    taken = {10: ROLES[10], 20: "ray::LeaderActor"}
    assert not pool.look(104.0, taken)
    assert pool.look(108.0, taken)


def test_where_none_comes_the_next_is_asked_for_ever_later() -> None:
    pool = SparePool(wanted=1)
    pool.look(0.0, ROLES)
    now_s, pauses_s = 4.0, []
    for _ in range(4):
        assert pool.look(now_s, ROLES)
        pool.asked(now_s)
        waited_s = 1.0
        while not pool.look(now_s + waited_s, ROLES):
            waited_s += 1.0
        pauses_s.append(waited_s)
        now_s += waited_s
    assert pauses_s == [30.0, 60.0, 120.0, 240.0]


def test_once_one_has_come_patience_is_as_at_first() -> None:
    pool = SparePool(wanted=2)
    pool.look(0.0, ROLES)
    pool.asked(4.0)
    pool.asked(34.0)
    assert pool.look(40.0, ROLES | spares(20))
    pool.asked(40.0)
    assert not pool.look(69.0, ROLES | spares(20))
    assert pool.look(70.0, ROLES | spares(20))


def test_a_process_knows_its_childrens_titles() -> None:
    runs = "print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", runs], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()  # until then it may still be a copy of this process
        assert titles_of_children(os.getpid())[child.pid] == sys.executable
        child.communicate(b"\n")


async def test_where_no_children_can_be_told_there_are_no_spares(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(parent: int) -> dict[int, str]:
        raise FileNotFoundError(f"/proc/{parent}/task")

    monkeypatch.setenv(PRELOAD_VARIABLE, "actors.warm")
    monkeypatch.setattr(spares_module, "titles_of_children", refuse)
    await keep_spares(1, SystemClock(), role_logger("test"))


@pytest.mark.parametrize(("wanted", "preloaded"), [(0, "actors.warm"), (1, ""), (1, "mine")])
async def test_no_spares_without_raylogs_settings_or_when_none_are_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: int, preloaded: str
) -> None:
    monkeypatch.setenv(PRELOAD_VARIABLE, preloaded)
    await keep_spares(wanted, SystemClock(), role_logger("test"))


async def test_spares_are_woken_when_another_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: asyncio.Queue[int] = asyncio.Queue()
    monkeypatch.setattr(spares_module, "wake_main_thread", woken.put_nowait)
    with closing(SpareWaker()) as waker:
        roles = [await asyncio.create_subprocess_exec("sleep", "600") for _ in range(3)]
        try:
            titles = dict.fromkeys([role.pid for role in roles], "ray::LeaderActor")
            waker.follow(titles | spares(20))
            waker.follow(titles | spares(20, 21))
            roles[0].kill()
            assert {await woken.get(), await woken.get()} == {20, 21}
            # One that is not the raylet's any more, as it has become another's, or whose end was seen.
            waker.follow(dict.fromkeys([roles[2].pid], "ray::LeaderActor") | spares(20))
            roles[1].kill()
            roles[2].kill()
            assert await woken.get() == 20
            assert woken.empty()
        finally:
            for role in roles:
                with suppress(ProcessLookupError):
                    role.kill()
                await role.wait()
