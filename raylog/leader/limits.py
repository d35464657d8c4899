"""The leader's limits: each queue, cache and buffer of it has one (invariant 8)."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderLimits:
    frame_bytes_max: int = 128 * MIB
    """A longer request closes its (internal) connection."""
    unflushed_bytes_max: int = 192 * MIB
    """Bytes appended and not yet in a durable slot, above which produce requests are held back."""
    tail_cache_bytes: int = 256 * MIB
    """Recent batches kept for consumers; those not yet flushed are kept beyond it."""
    answer_bytes_max: int = 16 * MIB
    """Answers that a connection's peer has not taken, above which its requests are not read."""
    fetch_bytes_max: int = 64 * MIB
    """A Fetch answer holds no more (first batch excepted)."""
    fetch_wait_ms_max: int = 60_000
    plan_run_bytes_max: int = 1 * MIB
    """One index row covers contiguous batches of at most so many bytes (or one batch)."""
    checkpoint_slots: int = 200
    checkpoint_bytes: int = 4096 * MIB
    """A checkpoint is written after so many slots, or so many bytes of slots."""
    register_backoff_s_max: float = 5.0
    """Longest pause between two tries to reach the controller."""
