"""A compaction task's process: errors travel as values, and only the job's own thread is nice."""

import os
import threading
from typing import Any

import pytest

from actors import compaction
from raylog.leader.compactor import CompactionJob
from raylog.model.config import ClusterConfig
from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderId, LogEpoch
from raylog.partition.compaction import CompactionPlan
from raylog.storage.slot_events import Swap

JOB = CompactionJob(number=5, epoch=LogEpoch(1), writer_id=bytes(16), plan=CompactionPlan(level=1, pieces=()))


def run(monkeypatch: pytest.MonkeyPatch, work: Any) -> Any:
    monkeypatch.setattr(compaction, "_compact", work)
    return compaction.compact_in_task(ClusterConfig(), LeaderId(1), JOB)


def test_a_job_runs_with_less_priority_than_its_process(monkeypatch):
    before = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []

    async def work(*_: Any) -> Swap:
        thread = threading.Thread(target=lambda: seen.append(os.getpriority(os.PRIO_PROCESS, 0)))
        thread.start()
        thread.join()
        return Swap(segment=5, parts=())

    assert run(monkeypatch, work).unwrap() == Swap(segment=5, parts=())
    assert seen == [min(19, before + 10)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_an_error_is_a_value_and_a_bug_is_raised(monkeypatch):
    async def corrupt(*_: Any) -> Swap:
        raise CorruptError("A batch is broken.")

    with pytest.raises(CorruptError, match=r"A batch is broken\."):
        run(monkeypatch, corrupt).unwrap()

    async def bug(*_: Any) -> Swap:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, bug)
