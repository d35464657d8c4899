"""Whether a topic takes a producer's batch: what the gateway's own checks (CRC, counts, lengths) cannot know.

Timestamps are judged by the header's maximum where only the future is bounded; each record is decoded only where the topic is
compacted (every record needs a key) or bounds the past.
"""

from collections.abc import Callable, Sequence

from kio.schema.errors import ErrorCode

from raylog.model.buffers import Buffer
from raylog.model.errors import CorruptError
from raylog.partition.config import PartitionConfig
from raylog.partition.outcomes import NO_TIMESTAMP_MS, RecordFault, Rejected
from raylog.protocol.batch import BatchHeader, Record, decode_records
from raylog.protocol.batch_header import TRANSACTIONAL


def check_batch(header: BatchHeader, config: PartitionConfig, now_ms: int) -> Rejected | None:
    """What the header of a client's batch tells: MESSAGE_TOO_LARGE, INVALID_TIMESTAMP, INVALID_TXN_STATE."""
    if header.size_bytes > config.max_message_bytes:
        return Rejected(
            ErrorCode.message_too_large,
            f"A batch of {header.size_bytes} bytes is above the topic's max.message.bytes of {config.max_message_bytes}.",
        )
    if header.attributes & TRANSACTIONAL:
        return Rejected(ErrorCode.invalid_txn_state, "The record was not part of an ongoing transaction.")
    if not config.log_append_time and header.max_timestamp_ms - now_ms > config.timestamp_after_max_ms:
        return Rejected(
            ErrorCode.invalid_timestamp,
            f"Timestamp {header.max_timestamp_ms} is more than {config.timestamp_after_max_ms} ms after the broker's {now_ms}.",
        )
    return None


def check_records(records: Buffer, header: BatchHeader, config: PartitionConfig, now_ms: int) -> Rejected | None:
    """What only the records tell: INVALID_RECORD (no key on a compacted topic), INVALID_TIMESTAMP. Names each faulty record."""
    try:
        decoded = decode_records(records, header)
    except CorruptError as error:
        return Rejected(ErrorCode.invalid_record, str(error))
    if config.compacted:
        keyless = _faults(
            decoded, lambda record: record.key is None, "A compacted topic takes no record without a key."
        )
        if keyless:
            return Rejected(ErrorCode.invalid_record, keyless[0].message, record_faults=keyless)
    if config.log_append_time:
        return None
    oldest, newest = now_ms - config.timestamp_before_max_ms, now_ms + config.timestamp_after_max_ms
    outside = _faults(
        decoded,
        lambda record: record.timestamp_ms != NO_TIMESTAMP_MS and not oldest <= record.timestamp_ms <= newest,
        f"The timestamp is not within {oldest} to {newest}.",
    )
    return Rejected(ErrorCode.invalid_timestamp, outside[0].message, record_faults=outside) if outside else None


def _faults(records: Sequence[Record], is_faulty: Callable[[Record], bool], message: str) -> tuple[RecordFault, ...]:
    return tuple(RecordFault(place, message) for place, record in enumerate(records) if is_faulty(record))
