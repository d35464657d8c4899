"""The load: each module is a process of its own, so that it shares no interpreter with the bench.

``python -m bench.clients.<name> '<json>'`` takes its arguments as JSON and prints its result as one line of JSON.
"""

import json
import random
import sys
from collections.abc import Callable
from typing import Any

_PAYLOADS = 64


def main(run: Callable[..., dict[str, Any]]) -> None:
    print(json.dumps(run(**json.loads(sys.argv[1]))))


def payloads(size_bytes: int) -> list[bytes]:
    """A few different bodies that no codec or file system can shrink, the same in each run."""
    return [random.Random(index).randbytes(size_bytes) for index in range(_PAYLOADS)]


class Deliveries:
    """Delivery reports: an error anywhere makes the figures worthless, so it ends the run."""

    def __init__(self) -> None:
        self.error: str | None = None

    def report(self, error: object, _message: object) -> None:
        if error is not None and self.error is None:
            self.error = str(error)

    def check(self) -> None:
        if self.error is not None:
            raise SystemExit(f"a record was not delivered: {self.error}")
