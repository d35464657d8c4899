"""The gateway's limits: each queue and buffer of it has one, and at the limit the sender waits."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    request_bytes_max: int = 100 * MIB
    """A longer request closes its connection (Kafka's socket.request.max.bytes)."""
    connections_max: int = 10_000
    """One more is closed at once (Kafka's max.connections)."""
    connection_idle_s_max: float = 600.0
    """A connection without a request in flight for so long is closed (Kafka's connections.max.idle.ms)."""
    connection_requests_max: int = 1_000
    """Requests in flight of one connection, above which it is not read."""
    connection_bytes_max: int = 64 * MIB
    """Bytes of requests in flight of one connection, above which it is not read."""
    total_bytes_max: int = 256 * MIB
    """Bytes of requests in flight of all connections, above which none that adds to them is read."""
    answer_bytes_max: int = 4 * MIB
    """Bytes of answers that a client has not taken, above which its requests are not read."""
    fetch_bytes_max: int = 55 * MIB
    """A Fetch asks for no more, whatever the client says (Kafka's fetch.max.bytes)."""
    fetch_total_bytes_max: int = 256 * MIB
    """Bytes of records that answers being made hold in all; more fetches wait."""
    leader_bytes_max: int = 128 * MIB
    """Bytes of requests unanswered by one leader, above which connections that add to them are not read."""
    leader_connect_s_max: float = 2.0
    """A leader that does not take a connection for so long is away: its requests are answered with a retriable error."""
    leader_answer_s_max: float = 30.0
    """A leader that owes an answer for so long, waits asked for not counted, is taken to be away."""
    block_cache_bytes: int = 256 * MIB
    """Ranges of data objects kept for catch-up readers."""
    close_s_max: float = 5.0
    """When closing, requests in flight have so long to be answered."""
