"""``python -m tests.sim``: run many seeds, or one again with its trace. What ``make sim`` calls."""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.sim.pool import run_seed, run_seeds
from tests.sim.run import Report
from tests.sim.scenarios import SCENARIOS

_REPORTED = 5


def main() -> int:
    """The exit status: 1 when a seed found an anomaly."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Simulate whole clusters, a seed each.")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument(
        "--seed", action="append", help="run this one alone, and print its whole trace; may be repeated"
    )
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="the seeds of this directed trouble")
    parser.add_argument("--digest", action="store_true", help="print each run's digest instead of its trace")
    options = parser.parse_args()
    if options.seed:
        return sum(_show(run_seed(seed), digest=options.digest) for seed in options.seed)
    scenario = f"{options.scenario}/" if options.scenario else ""
    return _run_all([f"{scenario}{seed}" for seed in range(options.first, options.first + options.seeds)])


def _show(report: Report, *, digest: bool) -> int:
    print(f"{report.seed} {report.digest}" if digest else report.text(lines=len(report.trace.lines)))
    return int(bool(report.anomalies))


def _run_all(seeds: Sequence[str]) -> int:
    began = time.monotonic()
    virtual_s = 0.0
    failed: list[str] = []
    ran = 0
    for outcome in run_seeds(seeds):
        ran += 1
        virtual_s += outcome.seconds
        if outcome.anomalies:
            failed.append(outcome.seed)
            print(outcome.text if len(failed) == 1 else f"seed {outcome.seed}: {outcome.anomalies[0]}", flush=True)
            if len(failed) == _REPORTED:
                break
    spent = time.monotonic() - began
    print(
        f"{ran} seeds, {virtual_s / 3600:.1f} hours of virtual time, in {spent:.0f} s: "
        f"{ran / spent:.1f} seeds a second, {len(failed)} failed"
    )
    if failed:
        print(f"Again: make sim SEED={failed[0]}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
