"""``python -m tests.chaos``: kill parts of a real server under load, and judge what its clients saw. ``make chaos`` calls it."""

import argparse
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from rich.console import Console

from lab.history.journal import Journal
from lab.history.verdict import anomalies, events_of
from raylog.model.clock import SystemClock
from tests.chaos.report import tables
from tests.chaos.run import Options, run
from tests.harness.minio import NoMinioError

_SHOWN = 20


def main() -> int:
    """The exit status: 1 for an anomaly, 3 when a tool is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Real kills of a real server, under load."
    )
    parser.add_argument("--store", choices=("folder", "moto", "minio"), default="folder", help="what the bucket is")
    parser.add_argument("--minutes", type=float, default=5.0, help="of rotating faults")
    parser.add_argument("--seed", type=int, help="which faults, and when; drawn if not given")
    parser.add_argument("--rate", type=float, default=25.0, help="records per second of each of six producers")
    parser.add_argument(
        "--folder", type=Path, help="takes everything that the run leaves; a new one in /tmp by default"
    )
    parser.add_argument(
        "--judge", type=Path, metavar="JOURNAL", help="judge an earlier run's journal again, and run nothing"
    )
    options = parser.parse_args()
    if options.judge:
        return _judge(options.judge)
    seed = SystemRandom().randrange(1 << 30) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix=f"raylog-chaos-{options.store}-"))
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder / "journal.jsonl", SystemClock()) as journal:

        def say(text: str) -> None:
            print(f"{journal.now():7.1f} s  {text}", flush=True)

        say(f"seed {seed}, store {options.store}, journal {journal.path}")
        try:
            run(
                Options(
                    store=options.store,
                    minutes=options.minutes,
                    seed=seed,
                    per_second=options.rate,
                    folder=folder,
                ),
                journal,
                say,
            )
        except NoMinioError as error:
            print(error, file=sys.stderr)
            return 3
    return _judge(journal.path)


def _judge(path: Path) -> int:
    found = anomalies(path)
    Console().print(tables(events_of(path), found))
    for anomaly in found[:_SHOWN]:
        print(anomaly)
    if len(found) > _SHOWN:
        print(f"… and {len(found) - _SHOWN} more")
    print(f"Journal: {path}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
