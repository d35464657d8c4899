"""The file WAL by itself, without a server round it: ``python -m bench.wal [FOLDER]``.

Each row keeps a number of entries queued, as so many waiting requests would; what is shown is the disk and the commit loop alone.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
import uvloop
from rich.table import Table

from bench.report import show
from raylog.model.clock import SystemClock
from raylog.model.ids import LeaderId, LogEpoch, Lsn, TopicId, TopicPartition
from raylog.storage.file_wal import FileWal
from raylog.storage.wal import WalEntry
from raylog.storage.wal_class import open_wal, parse_wal_class

_PARTITION = TopicPartition(TopicId(UUID(int=1)), 0)
_ROWS = ((200, 1), (200, 64), (16 << 10, 16), (1 << 20, 4))
"""Bytes of an entry, entries in flight."""


def bench(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder on the disk to measure. [default: the temporary one]")
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each row.")] = 3.0,
) -> None:
    table = Table("entry", "in flight", "commits", "entries/s", "MB/s", "p50 ms", "p99 ms")
    for size_bytes, in_flight in _ROWS:
        for mode, inline_ms in (("inline", 60_000 - 1), ("thread", 0)):
            with tempfile.TemporaryDirectory(dir=folder, prefix="bench-wal-") as mount:
                latencies = uvloop.run(
                    _run(
                        f"file://{mount}?inline_commit_ms={inline_ms}&inline_commit_bytes=1GiB",
                        size_bytes,
                        in_flight,
                        seconds,
                    )
                )
            latencies.sort()
            rate = len(latencies) / seconds
            table.add_row(
                f"{size_bytes:,} B",
                str(in_flight),
                mode,
                f"{rate:,.0f}",
                f"{rate * size_bytes / 1e6:,.1f}",
                *(f"{latencies[int(len(latencies) * share)] * 1000:.2f}" for share in (0.5, 0.99)),
            )
    show(table)


async def _run(url: str, size_bytes: int, in_flight: int, seconds: float) -> list[float]:
    """Seconds from append to durable, of each entry."""
    wal = open_wal(parse_wal_class("bench", url), LeaderId(0), clock=SystemClock())
    assert isinstance(wal, FileWal)
    await wal.open(LogEpoch(1))
    async for _ in wal.recover():
        pass
    latencies: list[float] = []
    appended_at: list[float] = []
    body = bytes(size_bytes)
    over = asyncio.get_running_loop().create_future()
    until = time.perf_counter() + seconds

    def append() -> None:
        appended_at.append(time.perf_counter())
        wal.append(WalEntry(Lsn(len(appended_at)), _PARTITION, (body,), size_bytes))

    def durable(lsn: Lsn) -> None:
        now = time.perf_counter()
        arrived = lsn - len(latencies)
        latencies.extend(now - at for at in appended_at[len(latencies) : lsn])
        wal.flushed(lsn)
        if now > until:
            if not over.done():
                over.set_result(None)
            return
        for _ in range(arrived):
            append()

    def fatal(error: Exception) -> None:
        over.set_exception(error)

    wal.start(durable, fatal)
    for _ in range(in_flight):
        append()
    await over
    await wal.close()
    return latencies


if __name__ == "__main__":
    typer.run(bench)
