"""A copy of a bucket that is known to be whole: copied at a cut, then looked into as ``raylog store check`` does.

What the cluster deletes meanwhile (garbage collection, trimming) may be missing in the copy of a moment before. Then a later
moment is taken: what is there already is not copied again, so each round is shorter than the one before.
"""

from dataclasses import dataclass

from raylog.cli.bucket_check import Report, check_bucket
from raylog.model.clock import Clock, Random
from raylog.model.errors import RetryError
from raylog.storage.bucket_copy import SETTLE_S, Copied, Step, copy_bucket
from raylog.storage.object_store import ObjectStore

_ROUNDS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCopy:
    cut_ms: int
    """The moment that the copy is of: milliseconds since 1970, by this machine's clock."""
    objects: int
    size_bytes: int
    present: int
    """Objects that an earlier copy had brought."""
    report: Report
    """On the copy."""


async def copy_and_check(
    source: ObjectStore,
    target: ObjectStore,
    *,
    until_ms: int | None,
    verify: bool,
    clock: Clock,
    rng: Random,
    step: Step,
) -> CheckedCopy:
    """Copy the bucket as it was at ``until_ms`` (None: as it is now). What is still missing is in the report.

    Raises InvalidError as ``copy_bucket`` does, RetryError of the stores or when objects of the cut go on vanishing.
    """
    rounds: list[Copied] = []
    report: Report | None = None
    for _ in range(_ROUNDS_MAX):
        cut_ms = clock.wall_ms() if until_ms is None else until_ms
        await clock.sleep(max(0.0, SETTLE_S - (clock.wall_ms() - cut_ms) / 1000))
        rounds.append(await copy_bucket(source, target, cut_ms=cut_ms, step=step))
        if rounds[-1].gone:
            continue
        before, report = report, await check_bucket(target, verify=verify, clock=clock, rng=rng, step=step)
        # What a later moment does not mend is wrong in the source as well, and so is what a fixed one lacks.
        if not report.problems or until_ms is not None or (before is not None and before.problems == report.problems):
            return CheckedCopy(
                cut_ms=cut_ms,
                objects=sum(copied.objects for copied in rounds),
                size_bytes=sum(copied.size_bytes for copied in rounds),
                present=rounds[0].present,
                report=report,
            )
    raise RetryError(
        f"{source.url} loses objects faster than they can be copied: copy again when its cluster is at rest."
    )
