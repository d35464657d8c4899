"""Every key in the bucket: who writes it, whether it changes, how it is encoded.

``metadata/log/{slot:020d}``
    The controller's. Put if absent, then immutable. A slot (``slot_format``) whose meta is JSON records (``controller.records``).
``metadata/checkpoint/{slot:020d}``
    The controller's. May be written again with the same meaning. A slot of kind CHECKPOINT: the state as JSON records.
``leaders/{leader:06d}/log/{slot:020d}``
    That leader's. Put if absent, then immutable. A slot whose body is record batches and whose meta is their index
    (``data_object``).
``leaders/{leader:06d}/checkpoint/{slot:020d}``
    That leader's. May be written again with the same meaning. A slot of kind CHECKPOINT (``raylog.leader.checkpoint_format``).
``self-test/…``
    Whoever starts. Random names, deleted again by the test of the bucket (``store_selftest``).

A log's slots and checkpoints are deleted only by ``FencedLog.trim``, under its grace rule. Numbers have a fixed width, so that a
listing is in their order.
"""

from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderId

METADATA_PREFIX = "metadata/"
LEADERS_PREFIX = "leaders/"

_LOG = "log/"
_CHECKPOINT = "checkpoint/"
_NUMBER_DIGITS = 20


def leader_prefix(leader_id: LeaderId) -> str:
    """Where a leader keeps its log and checkpoints: the ``prefix`` of its FencedLog."""
    return f"{LEADERS_PREFIX}{leader_id:06d}/"


def log_prefix(prefix: str) -> str:
    """The slots of the fenced log kept under ``prefix``."""
    return f"{prefix}{_LOG}"


def slot_key(prefix: str, slot: int) -> str:
    return f"{prefix}{_LOG}{slot:0{_NUMBER_DIGITS}d}"


def checkpoint_prefix(prefix: str) -> str:
    """The checkpoints of the fenced log kept under ``prefix``."""
    return f"{prefix}{_CHECKPOINT}"


def checkpoint_key(prefix: str, slot: int) -> str:
    return f"{prefix}{_CHECKPOINT}{slot:0{_NUMBER_DIGITS}d}"


def number_of(key: str) -> int:
    """The slot number that ends a slot's or checkpoint's key."""
    digits = key.rpartition("/")[2]
    if len(digits) != _NUMBER_DIGITS or not digits.isascii() or not digits.isdigit():
        raise CorruptError(f"'{key}' lies among a log's slots but is not named by a slot number.")
    return int(digits)
