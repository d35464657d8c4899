"""``raylog store``: look into a bucket without a cluster, or copy it. Neither changes the bucket."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.options import Json
from raylog.cli.output import note, print_json, print_table
from raylog.model.clock import Clock, Random, SystemClock, system_random
from raylog.model.errors import InvalidError

if TYPE_CHECKING:
    from raylog.cli.bucket_check import Report, Step
    from raylog.cli.bucket_copy import CheckedCopy
    from raylog.storage.object_store import ObjectStore

store = typer.Typer(no_args_is_help=True, help="Look into a bucket, or copy it.")


@store.command()
def check(
    url: Annotated[str, typer.Option("--store", help="The bucket: s3://bucket/prefix or a folder.")],
    verify: Annotated[bool, typer.Option("--verify", help="Read every object whole and check every CRC.")] = False,
    json: Json = False,
) -> None:
    """Say what every object of a bucket is, what nothing needs, and what is missing or broken.

    Changes nothing, and needs no cluster; with one at work on the bucket, what is written meanwhile is not looked at.
    Exits with 1 when an object is missing or corrupt.
    """
    report = asyncio.run(_check(url, verify=verify))
    if json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.problems:
        raise typer.Exit(1)


async def _check(url: str, *, verify: bool) -> "Report":
    from raylog.cli.bucket_check import check_bucket

    clock, rng = SystemClock(), system_random()
    async with _opened(url, "--store", clock, rng) as bucket:
        with _progress() as step:
            return await check_bucket(bucket, verify=verify, clock=clock, rng=rng, step=step)


@store.command()
def copy(
    source: Annotated[str, typer.Option("--from", help="The bucket to copy; a cluster may be at work on it.")],
    target: Annotated[str, typer.Option("--to", help="An empty bucket or folder, or one with an earlier copy.")],
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Copy it as it was then, such as 2026-11-26T04:00:00Z. [default: now]"),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read the copy whole and check every CRC.")] = False,
) -> None:
    """Copy a bucket as it is at one moment, and check the copy.

    'raylog serve' on the copy has every record, offset and topic that the bucket had at that moment. Run again it copies only
    what is new, until a cluster has been started on the copy. Exits with 1 when something is missing in it.
    """
    until_ms = None if until is None else _parse_time(until)
    outcome = asyncio.run(_copy(source, target, until_ms, verify=verify))
    note(
        f"{outcome.objects:,} objects ({outcome.size_bytes:,} bytes) were copied, {outcome.present:,} were there; the copy is of "
        f"{_time(outcome.cut_ms)}."
    )
    _print(outcome.report)
    if outcome.report.problems:
        raise typer.Exit(1)


async def _copy(source_url: str, target_url: str, until_ms: int | None, *, verify: bool) -> "CheckedCopy":
    from raylog.cli.bucket_copy import copy_and_check
    from raylog.storage.store_url import open_store

    clock, rng = SystemClock(), system_random()
    async with _opened(source_url, "--from", clock, rng) as source:
        target = await open_store(target_url, clock=clock, rng=rng)
        try:
            with _progress() as step:
                return await copy_and_check(
                    source, target, until_ms=until_ms, verify=verify, clock=clock, rng=rng, step=step
                )
        finally:
            await target.close()


@asynccontextmanager
async def _opened(url: str, option: str, clock: Clock, rng: Random) -> AsyncIterator["ObjectStore"]:
    """A bucket that is there. Raises InvalidError."""
    from raylog.storage.store_url import local_folder, open_store

    folder = local_folder(url)
    if folder is not None and not folder.is_dir():
        raise InvalidError(f"There is no folder {folder}: {option} names a bucket that exists.")
    bucket = await open_store(url, clock=clock, rng=rng)
    try:
        yield bucket
    finally:
        await bucket.close()


@contextmanager
def _progress() -> Iterator["Step"]:
    """A bar on the terminal, for as long as it takes."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)


def _print(report: "Report") -> None:
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for found in report.objects:
        group = (f"{found.log}{found.kind}", str(found.state))
        counts[group] += 1
        sizes[group] += found.size_bytes
    print_table(
        ("what", "state", "objects", "bytes"),
        [(what, state, counts[what, state], sizes[what, state]) for what, state in sorted(counts)],
        title=f"{report.url}: {len(report.objects):,} objects",
        empty=f"The bucket {report.url} is empty.",
    )
    loose = [(found.key, _time(found.since_ms), found.size_bytes) for found in report.objects if found.since_ms]
    if loose:
        print_table(("not needed any more", "since", "bytes"), loose)
    for problem in report.problems:
        typer.echo(f"{problem.key}: {problem.message}")
    verified = (
        "every checksum was verified" if report.verified else "checksums of records were not looked at (--verify)"
    )
    verdict = f"{len(report.problems)} problems" if report.problems else "nothing is missing"
    typer.echo(f"{verdict}; {verified}.")


def _parse_time(text: str) -> int:
    """Milliseconds since 1970 of a time in ISO 8601 with its zone. Raises InvalidError."""
    from datetime import datetime

    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise InvalidError(f"'{text}' is not a time for --until: write it with its zone, such as 2026-11-26T04:00:00Z.")
    return int(parsed.timestamp() * 1000)


def _time(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
