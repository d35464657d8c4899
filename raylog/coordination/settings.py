"""Settings of the group coordinator, by Kafka's names, with Kafka 4.1's defaults.

``group.initial.rebalance.delay.ms`` keeps Kafka's default of 3 s: a new group's first generation waits so long for more
members, which spares a group of several members one rebalance each. A single consumer that wants its first record sooner
sets it to 0, as Kafka's own quickstart does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from raylog.model.errors import InvalidError

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    session_timeout_ms_min: int = 6_000
    session_timeout_ms_max: int = 1_800_000
    initial_rebalance_delay_ms: int = 3_000
    group_size_max: int = 2**31 - 1
    """Members of a group; one more is answered GROUP_MAX_SIZE_REACHED."""
    pending_members_max: int = 10_000
    """Ids given out to a group whose members have not come yet (KIP-394); one more is refused in the same way."""
    new_member_join_timeout_ms: int = 300_000
    """How long a member may wait in its first JoinGroup: it has no member id yet, so it cannot heartbeat."""
    offset_metadata_bytes_max: int = 4_096
    offsets_retention_ms: int = 7 * 24 * 3_600_000
    offsets_retention_check_interval_ms: int = 600_000
    group_record_bytes_max: int = 1_000_000
    """A generation with all of its members' metadata and assignments is one record; a larger one is refused, as in Kafka."""
    append_bytes_max: int = 512 * KIB
    """Larger commits are appended as several batches."""
    rewrite_bytes_min: int = 4 * MIB
    """The partition's log is rewritten when it is longer than this and than ``rewrite_factor`` times the live state."""
    rewrite_factor: int = 4
    rewrite_chunk_bytes: int = 64 * KIB
    """One step of a rewrite appends about so much, so that commits and heartbeats go on beside it."""

    @classmethod
    def from_broker_configs(cls, configs: Mapping[str, str]) -> "GroupSettings":
        """The settings that a cluster's broker configuration names. Raises InvalidError for one that is no number."""
        values = {
            field: _number(name, configs[name]) * unit
            for name, (field, unit) in _KAFKA_NAMES.items()
            if configs.get(name) is not None
        }
        return cls(**values)


_KAFKA_NAMES: dict[str, tuple[str, int]] = {
    "group.min.session.timeout.ms": ("session_timeout_ms_min", 1),
    "group.max.session.timeout.ms": ("session_timeout_ms_max", 1),
    "group.initial.rebalance.delay.ms": ("initial_rebalance_delay_ms", 1),
    "group.max.size": ("group_size_max", 1),
    "offset.metadata.max.bytes": ("offset_metadata_bytes_max", 1),
    "offsets.retention.minutes": ("offsets_retention_ms", 60_000),
    "offsets.retention.check.interval.ms": ("offsets_retention_check_interval_ms", 1),
}


def _number(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise InvalidError(f"The broker setting {name} is '{text}', which is not a whole number.") from None
    if value < 0:
        raise InvalidError(f"The broker setting {name} is {value}; it must not be negative.")
    return value
