"""One member of a classic group."""

from collections.abc import Collection
from dataclasses import dataclass

from raylog.coordination.messages import DescribedMember, JoinedMember, Protocols, Token


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    member_id: str
    group_instance_id: str | None
    """Set: a static member (KIP-345), which keeps its assignment through a restart."""
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: Protocols
    assignment: bytes = b""
    is_new: bool = False
    """It has not yet been told its id: no heartbeat can come, so its first join has a time-out of its own."""
    join_token: Token | None = None
    """Its JoinGroup, waiting for the others'."""
    sync_token: Token | None = None
    """Its SyncGroup, waiting for the leader's."""

    @property
    def is_static(self) -> bool:
        return self.group_instance_id is not None

    @property
    def awaits_join(self) -> bool:
        return self.join_token is not None

    @property
    def is_waiting(self) -> bool:
        """It waits for an answer, so that no heartbeat is due from it."""
        return not self.is_new and (self.join_token is not None or self.sync_token is not None)

    def supports(self, protocol: str) -> bool:
        return any(name == protocol for name, _ in self.protocols)

    def metadata(self, protocol: str | None) -> bytes:
        """What it told of itself for a protocol; empty when it does not speak it."""
        return next((metadata for name, metadata in self.protocols if name == protocol), b"")

    def vote(self, candidates: Collection[str]) -> str | None:
        """The protocol it likes best among those that all members speak."""
        return next((name for name, _ in self.protocols if name in candidates), None)

    def as_joined(self, protocol: str | None) -> JoinedMember:
        return JoinedMember(
            member_id=self.member_id, group_instance_id=self.group_instance_id, metadata=self.metadata(protocol)
        )

    def as_described(self, protocol: str | None) -> DescribedMember:
        return DescribedMember(
            member_id=self.member_id,
            group_instance_id=self.group_instance_id,
            client_id=self.client_id,
            client_host=self.client_host,
            metadata=self.metadata(protocol),
            assignment=self.assignment,
        )
