"""``raylog store``: look into a bucket without a cluster. Read-only."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.options import Json
from raylog.cli.output import print_json, print_table
from raylog.model.clock import SystemClock, system_random
from raylog.model.errors import InvalidError

if TYPE_CHECKING:
    from raylog.cli.bucket_check import Report

store = typer.Typer(no_args_is_help=True, help="Look into a bucket.")


@store.callback()
def _group() -> None:
    """Keeps ``check`` a command of its own."""


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
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from raylog.cli.bucket_check import check_bucket
    from raylog.storage.store_url import local_folder, open_store

    folder = local_folder(url)
    if folder is not None and not folder.is_dir():
        raise InvalidError(f"There is no folder {folder}: --store names the bucket to look into.")
    clock, rng = SystemClock(), system_random()
    bucket = await open_store(url, clock=clock, rng=rng)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=None)

            def step(what: str, done: int, total: int | None) -> None:
                progress.update(task, description=what, completed=done, total=total)

            return await check_bucket(bucket, verify=verify, clock=clock, rng=rng, step=step)
    finally:
        await bucket.close()


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


def _time(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
