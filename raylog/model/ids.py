"""Names for every id, so that two of them cannot be confused. Offsets and sizes stay plain ``int``; units are in names."""

from typing import NamedTuple, NewType
from uuid import UUID

TopicId = NewType("TopicId", UUID)
"""A topic's id for life (KIP-516). A topic created again under an old name has a new one."""

LeaderId = NewType("LeaderId", int)
"""A leader log's number, for ever; the process that serves it changes, the id does not."""

BrokerId = NewType("BrokerId", int)
"""What clients see as a broker: one node's gateway pool."""

BROKER_ID_NONE = BrokerId(-1)
"""No broker."""

LogEpoch = NewType("LogEpoch", int)
"""A fenced log's epoch: rises by at least one at each open."""

LeaderEpoch = NewType("LeaderEpoch", int)
"""A partition's leader epoch as Kafka's clients see it (KIP-101, KIP-320)."""

Lsn = NewType("Lsn", int)
"""Position of an entry in a leader's WAL order: 1, 2, 3, … within one open of the leader; 0 is before the first."""

ProducerId = NewType("ProducerId", int)


class TopicPartition(NamedTuple):
    """A partition by its topic's id; hashable, and cheap as a key on the hot path."""

    topic_id: TopicId
    partition: int


LEADER_REPLICAS = 1_000_000_000
"""Added to a leader's id where Kafka's reassignments name replicas: Kafka has no word for leaders, of which a broker's node may
run several. No broker has so high an id."""
