"""Reads an outcome back from a report, which has all of its data in it."""

import json
from pathlib import Path

from lab.outcome import Outcome
from lab.report.html import DATA_BEGIN, DATA_END
from raylog.model.errors import InvalidError


def outcome_of(path: Path) -> Outcome:
    """Raises InvalidError, in one sentence."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidError(f"The report {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"{path} is no report of 'raylog lab run': it is not even text.") from error
    _, begin, rest = text.rpartition(DATA_BEGIN)
    data, end, _ = rest.partition(DATA_END)
    if not begin or not end:
        raise InvalidError(f"{path} is no report of 'raylog lab run': there is no data in it.")
    try:
        return Outcome.from_json(json.loads(data))
    except InvalidError as error:
        raise InvalidError(f"{path} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"{path} is a damaged report: its data cannot be read.") from error
