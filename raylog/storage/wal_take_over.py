"""A take-over as an entry of a WAL, where an adoption stands before the first batches of what it adopts.

JSON: the event, as in a slot, and the epoch of the log whose writer appended it. By this and its LSN whoever recovers knows
whether the log has had the event already (``WalPosition``).
"""

import json
from typing import Any

from raylog.model.errors import CorruptError
from raylog.model.ids import LogEpoch
from raylog.storage.slot_events import TakeOver, event_from_json, event_to_json


def encode_take_over(event: TakeOver, epoch: LogEpoch) -> bytes:
    return json.dumps({"epoch": epoch, "event": event_to_json(event)}, separators=(",", ":")).encode()


def decode_take_over(body: bytes) -> tuple[TakeOver, LogEpoch]:
    """Raises CorruptError."""
    try:
        values: dict[str, Any] = json.loads(body)
        event, epoch = event_from_json(values["event"]), LogEpoch(int(values["epoch"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"A WAL's entry with a take-over cannot be decoded: {error!r}") from error
    if not isinstance(event, TakeOver):
        raise CorruptError(f"A WAL has {event} in the place of a take-over.")
    return event, epoch
