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
``segments/{number:020d}``
    Written for a leader by whoever compacts. Put if absent, then immutable. A slot of kind SEGMENT (``segment``).
``uploads/{number:020d}``
    A gateway's. Put if absent, then immutable. A slot of kind UPLOAD (``upload``): batches that leaders give their offsets.
``leaders/{leader:06d}/handover/{number:020d}``
    That leader's. May be written again with the same bytes. A slot of kind HANDOVER with a random number: the partitions that
    the leader has released for another one, as a checkpoint has them (``handover``).
``self-test/…``
    Whoever starts. Random names, deleted again by the test of the bucket (``store_selftest``).

A log's slots and checkpoints are deleted only by ``FencedLog.trim`` and by garbage collection (``garbage``), under one grace
rule, segments and uploads by garbage collection alone; what has a key that is not listed here is deleted by nobody. Numbers
have a fixed width, so that a listing is in their order.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from raylog.model.errors import CorruptError
from raylog.model.ids import LeaderId

METADATA_PREFIX = "metadata/"
LEADERS_PREFIX = "leaders/"
SEGMENTS_PREFIX = "segments/"
UPLOADS_PREFIX = "uploads/"
SELF_TEST_PREFIX = "self-test/"

_LOG = "log/"
_CHECKPOINT = "checkpoint/"
_HANDOVER = "handover/"
_NUMBER_DIGITS = 20
_SHARED_OBJECT = re.compile(r"(segments|uploads)/([0-9]{20})", re.ASCII)
_LOG_OBJECT = re.compile(r"(metadata/|leaders/([0-9]{6,})/)(log|checkpoint|handover)/([0-9]{20})", re.ASCII)


class ObjectKind(StrEnum):
    SLOT = "slot"
    CHECKPOINT = "checkpoint"
    SEGMENT = "segment"
    UPLOAD = "upload"
    HANDOVER = "handover"
    SELF_TEST = "self-test"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectName:
    """What a key says of its object."""

    kind: ObjectKind
    log: str = ""
    """The prefix of the fenced log that a slot, a checkpoint or a handover belongs to."""
    leader_id: LeaderId | None = None
    """Whose log that is; None: the controller's."""
    number: int = 0
    """The slot's, the checkpoint's, the segment's, the upload's or the handover's."""


_KINDS = {"log": ObjectKind.SLOT, "checkpoint": ObjectKind.CHECKPOINT, "handover": ObjectKind.HANDOVER}


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


def segment_key(number: int) -> str:
    return f"{SEGMENTS_PREFIX}{number:0{_NUMBER_DIGITS}d}"


def upload_key(number: int) -> str:
    return f"{UPLOADS_PREFIX}{number:0{_NUMBER_DIGITS}d}"


def handover_key(leader_id: LeaderId, number: int) -> str:
    """What a leader has left for those that take over from it."""
    return f"{leader_prefix(leader_id)}{_HANDOVER}{number:0{_NUMBER_DIGITS}d}"


def number_of(key: str) -> int:
    """The number that ends a slot's, checkpoint's or handover's key."""
    digits = key.rpartition("/")[2]
    if len(digits) != _NUMBER_DIGITS or not digits.isascii() or not digits.isdigit():
        raise CorruptError(f"'{key}' lies among a log's slots but is not named by a slot number.")
    return int(digits)


def object_name(key: str) -> ObjectName:
    """What the object ``key`` is, by its key alone; UNKNOWN for what Raylog does not write."""
    if key.startswith(SELF_TEST_PREFIX):
        return ObjectName(kind=ObjectKind.SELF_TEST)
    if (shared := _SHARED_OBJECT.fullmatch(key)) is not None:
        kind = ObjectKind.SEGMENT if shared[1] == "segments" else ObjectKind.UPLOAD
        return ObjectName(kind=kind, number=int(shared[2]))
    found = _LOG_OBJECT.fullmatch(key)
    if found is None:
        return ObjectName(kind=ObjectKind.UNKNOWN)
    log, leader, folder, number = found.groups()
    leader_id = None if leader is None else LeaderId(int(leader))
    if leader_id is not None and log != leader_prefix(leader_id):
        return ObjectName(kind=ObjectKind.UNKNOWN)
    kind = _KINDS[folder]
    if kind is ObjectKind.HANDOVER and leader_id is None:
        return ObjectName(kind=ObjectKind.UNKNOWN)
    return ObjectName(kind=kind, log=log, leader_id=leader_id, number=int(number))
