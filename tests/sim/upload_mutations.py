"""Guards of what goes by the bucket (docs/decisions/0017), as in ``tests.sim.mutations``."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from gateway.uploader import Uploader
from raylog.leader import garbage
from raylog.leader.unflushed import PartitionRuns
from raylog.leader.write_buffer import WriteBuffer
from raylog.model.errors import RetryError
from raylog.partition.outcomes import PlacedBatch
from raylog.storage.garbage import Reason, plan_sweep
from raylog.storage.keys import UPLOADS_PREFIX, upload_key
from raylog.storage.object_store import Priority
from raylog.storage.reference import encode_reference
from raylog.storage.slot_format import WRITER_ID_BYTES
from raylog.storage.upload import encode_upload, upload_number
from tests.sim.mutations import mutation

SCENARIO_OF = {
    "references_follow_their_upload": "zones",
    "rows_lie_together_in_their_upload": "zones",
    "uploads_that_rows_name_are_kept": "late_references",
    "young_uploads_are_kept": "late_references",
    "old_uploads_are_refused": "late_references",
    "slots_that_name_uploads_are_in_time": "late_references",
}
"""The directed trouble that notices each."""


@mutation
def references_follow_their_upload() -> Iterator[None]:
    """References leave together with the upload, to save a round trip."""

    async def put(self: Uploader, upload: Any) -> None:
        batches = [batch for entry in upload.entries for batch in entry.batches]
        number = upload_number(self._clock.wall_ms(), self._rng)
        content, positions = encode_upload(number, bytes(WRITER_ID_BYTES), batches)
        pairs = zip(positions, batches, strict=True)
        upload.references = [encode_reference(number, position, batch.records) for position, batch in pairs]
        self._send_references()
        while batches:
            with contextlib.suppress(RetryError):
                await self._store.put_if_absent(upload_key(number), content, priority=Priority.WAL)
                return
            await self._clock.sleep(1.0)

    with patch.object(Uploader, "_put", put):
        yield


@mutation
def rows_lie_together_in_their_upload() -> Iterator[None]:
    """A row that names an upload goes on whatever comes next, and wherever that lies."""
    right = PartitionRuns.add

    def add(self: PartitionRuns, batch: PlacedBatch, run_bytes_max: int, *, is_spilled: bool) -> None:
        run = self.runs[-1] if self.runs else None
        if run is not None and batch.upload and run.upload:
            batch = batch._replace(upload=run.upload, position=run.position + run.size_bytes)
        right(self, batch, run_bytes_max, is_spilled=is_spilled)

    with patch.object(PartitionRuns, "add", add):
        yield


@mutation
def uploads_that_rows_name_are_kept() -> Iterator[None]:
    """Garbage collection takes an upload for something of a gateway's, that no log needs once it is old."""
    right = garbage.mark_leader_log

    async def mark_log(*args: Any, **values: Any) -> Any:
        marked = await right(*args, **values)
        needed = frozenset(key for key in marked.mark.references if not key.startswith(UPLOADS_PREFIX))
        return replace(marked, mark=replace(marked.mark, references=needed))

    with patch.object(garbage, "mark_leader_log", mark_log):
        yield


@mutation
def young_uploads_are_kept() -> Iterator[None]:
    """An upload that no row names goes at once, though its reference may be on its way."""

    def plan(listing: Any, marks: Any, *, now_ms: int, grace_ms: int) -> Any:
        without_grace = plan_sweep(listing, marks, now_ms=now_ms, grace_ms=-2_000)
        uploads = [doomed for doomed in without_grace if doomed.reason is Reason.UNREFERENCED_UPLOAD]
        others = plan_sweep(listing, marks, now_ms=now_ms, grace_ms=grace_ms)
        return [doomed for doomed in others if doomed.reason is not Reason.UNREFERENCED_UPLOAD] + uploads

    with patch.object(garbage, "plan_sweep", plan):
        yield


@mutation
def old_uploads_are_refused() -> Iterator[None]:
    """A leader takes a reference to an upload of any age."""
    with patch("raylog.leader.append.uploaded_at_ms", lambda number: 1 << 62):
        yield


@mutation
def slots_that_name_uploads_are_in_time() -> Iterator[None]:
    """A slot is written whenever that may be, whatever it names."""
    right = WriteBuffer.add

    def add(self: WriteBuffer, *args: Any, write_by_s: float | None = None) -> None:
        right(self, *args, write_by_s=None if write_by_s is None else float("inf"))

    with patch.object(WriteBuffer, "add", add):
        yield
