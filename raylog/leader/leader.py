"""A leader: one WAL, one leader log, many partitions. This module composes the parts and runs their life; the parts do the work."""

import asyncio
from pathlib import Path
from random import Random

from prometheus_client import CollectorRegistry

from raylog.model.limits import Limits
from raylog.model.admin import ControllerClient
from raylog.model.clock import Clock
from raylog.model.ids import LeaderId
from raylog.storage.object_store import ObjectStore
from raylog.storage.wal import Wal


class Leader:
    """``start`` returns when it serves; ``closed`` resolves when it serves no more."""

    closed: asyncio.Future[None]
    """None after ``close``; FencedError, or the WAL's I/O error, when it had to stop: its process is to exit then."""

    def __init__(
        self,
        *,
        leader_id: LeaderId,
        node_id: str,
        store: ObjectStore,
        wal: Wal,
        controller: ControllerClient,
        clock: Clock,
        rng: Random,
        limits: Limits,
        run_dir: Path,
        registry: CollectorRegistry,
        tcp_host: str = "127.0.0.1",
    ) -> None:
        """``run_dir`` is where the unix socket goes (``leader-<id>.sock``); the TCP listener takes a free port of ``tcp_host``."""

    async def start(self) -> None:
        """Recover, listen, register. Raises FencedError, or RetryError when the WAL is not reachable from here."""

    async def run_until_fenced(self) -> None:
        """``start``, then wait for ``closed``."""
        await self.start()
        await self.closed

    async def close(self) -> None:
        """Stop serving, flush to the bucket, close the WAL. Idempotent."""
