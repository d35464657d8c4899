"""Every API key of Apache Kafka 4.1 with its stable versions, and why Raylog does not serve those that it does not.

What is served is known from the handlers; a key is here with a reason exactly when it has no handler (a test holds
this).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaApi:
    key: int
    name: str
    versions: tuple[int, int]
    """Lowest and highest stable version of Kafka 4.1."""
    unserved: str
    """Why it is not served; empty for those that are."""


_TRANSACTIONS = "Transactions are not served yet."
_SECURITY = "There is no authentication or authorization yet: listen on networks that you trust."
_TOKENS = "Delegation tokens stand in for authentication, which is not served yet."
_QUOTAS = "There are no quotas: back-pressure slows senders down in place of throttling."
_NEW_GROUPS = "The consumer group protocol of KIP-848 is not served yet: clients use classic groups."
_SHARE = "Share groups (KIP-932) are not served."
_STREAMS = "Streams groups (KIP-1071) are not served: Kafka Streams uses classic groups."
_REPLICAS = "Partitions have no replicas on disks: the bucket keeps the data."
_TELEMETRY = "Client metrics are not collected."
_FEATURES = "There are no features to switch."
_INTERNAL = "Spoken between Kafka's own brokers and controllers, of which there are none here."

_TABLE: Final = (
    (0, "Produce", 3, 13, ""),
    (1, "Fetch", 4, 18, ""),
    (2, "ListOffsets", 1, 10, ""),
    (3, "Metadata", 0, 13, ""),
    (8, "OffsetCommit", 2, 10, ""),
    (9, "OffsetFetch", 1, 10, ""),
    (10, "FindCoordinator", 0, 6, ""),
    (11, "JoinGroup", 0, 9, ""),
    (12, "Heartbeat", 0, 4, ""),
    (13, "LeaveGroup", 0, 5, ""),
    (14, "SyncGroup", 0, 5, ""),
    (15, "DescribeGroups", 0, 6, ""),
    (16, "ListGroups", 0, 5, ""),
    (17, "SaslHandshake", 0, 1, _SECURITY),
    (18, "ApiVersions", 0, 4, ""),
    (19, "CreateTopics", 2, 7, ""),
    (20, "DeleteTopics", 1, 6, ""),
    (21, "DeleteRecords", 0, 2, ""),
    (22, "InitProducerId", 0, 5, ""),
    (23, "OffsetForLeaderEpoch", 2, 4, ""),
    (24, "AddPartitionsToTxn", 0, 5, _TRANSACTIONS),
    (25, "AddOffsetsToTxn", 0, 4, _TRANSACTIONS),
    (26, "EndTxn", 0, 5, _TRANSACTIONS),
    (27, "WriteTxnMarkers", 1, 1, _TRANSACTIONS),
    (28, "TxnOffsetCommit", 0, 5, _TRANSACTIONS),
    (29, "DescribeAcls", 1, 3, _SECURITY),
    (30, "CreateAcls", 1, 3, _SECURITY),
    (31, "DeleteAcls", 1, 3, _SECURITY),
    (32, "DescribeConfigs", 1, 4, ""),
    (33, "AlterConfigs", 0, 2, ""),
    (34, "AlterReplicaLogDirs", 1, 2, _REPLICAS),
    (35, "DescribeLogDirs", 1, 4, ""),
    (36, "SaslAuthenticate", 0, 2, _SECURITY),
    (37, "CreatePartitions", 0, 3, ""),
    (38, "CreateDelegationToken", 1, 3, _TOKENS),
    (39, "RenewDelegationToken", 1, 2, _TOKENS),
    (40, "ExpireDelegationToken", 1, 2, _TOKENS),
    (41, "DescribeDelegationToken", 1, 3, _TOKENS),
    (42, "DeleteGroups", 0, 2, ""),
    (43, "ElectLeaders", 0, 2, ""),
    (44, "IncrementalAlterConfigs", 0, 1, ""),
    (45, "AlterPartitionReassignments", 0, 1, ""),
    (46, "ListPartitionReassignments", 0, 0, ""),
    (47, "OffsetDelete", 0, 0, ""),
    (48, "DescribeClientQuotas", 0, 1, _QUOTAS),
    (49, "AlterClientQuotas", 0, 1, _QUOTAS),
    (50, "DescribeUserScramCredentials", 0, 0, _SECURITY),
    (51, "AlterUserScramCredentials", 0, 0, _SECURITY),
    (52, "Vote", 0, 2, _INTERNAL),
    (53, "BeginQuorumEpoch", 0, 1, _INTERNAL),
    (54, "EndQuorumEpoch", 0, 1, _INTERNAL),
    (55, "DescribeQuorum", 0, 2, _INTERNAL),
    (56, "AlterPartition", 2, 3, _INTERNAL),
    (57, "UpdateFeatures", 0, 2, _FEATURES),
    (58, "Envelope", 0, 0, _INTERNAL),
    (59, "FetchSnapshot", 0, 1, _INTERNAL),
    (60, "DescribeCluster", 0, 2, ""),
    (61, "DescribeProducers", 0, 0, _TRANSACTIONS),
    (62, "BrokerRegistration", 0, 4, _INTERNAL),
    (63, "BrokerHeartbeat", 0, 1, _INTERNAL),
    (64, "UnregisterBroker", 0, 0, _INTERNAL),
    (65, "DescribeTransactions", 0, 0, _TRANSACTIONS),
    (66, "ListTransactions", 0, 2, _TRANSACTIONS),
    (67, "AllocateProducerIds", 0, 0, _INTERNAL),
    (68, "ConsumerGroupHeartbeat", 0, 1, _NEW_GROUPS),
    (69, "ConsumerGroupDescribe", 0, 1, _NEW_GROUPS),
    (70, "ControllerRegistration", 0, 0, _INTERNAL),
    (71, "GetTelemetrySubscriptions", 0, 0, _TELEMETRY),
    (72, "PushTelemetry", 0, 0, _TELEMETRY),
    (73, "AssignReplicasToDirs", 0, 0, _INTERNAL),
    (74, "ListConfigResources", 0, 1, ""),
    (75, "DescribeTopicPartitions", 0, 0, ""),
    (76, "ShareGroupHeartbeat", 1, 1, _SHARE),
    (77, "ShareGroupDescribe", 1, 1, _SHARE),
    (78, "ShareFetch", 1, 1, _SHARE),
    (79, "ShareAcknowledge", 1, 1, _SHARE),
    (80, "AddRaftVoter", 0, 0, _INTERNAL),
    (81, "RemoveRaftVoter", 0, 0, _INTERNAL),
    (82, "UpdateRaftVoter", 0, 0, _INTERNAL),
    (83, "InitializeShareGroupState", 0, 0, _SHARE),
    (84, "ReadShareGroupState", 0, 0, _SHARE),
    (85, "WriteShareGroupState", 0, 0, _SHARE),
    (86, "DeleteShareGroupState", 0, 0, _SHARE),
    (87, "ReadShareGroupStateSummary", 0, 0, _SHARE),
    (88, "StreamsGroupHeartbeat", 0, 0, _STREAMS),
    (89, "StreamsGroupDescribe", 0, 0, _STREAMS),
    (90, "DescribeShareGroupOffsets", 0, 0, _SHARE),
    (91, "AlterShareGroupOffsets", 0, 0, _SHARE),
    (92, "DeleteShareGroupOffsets", 0, 0, _SHARE),
)

KAFKA_APIS: Final = tuple(
    KafkaApi(key=key, name=name, versions=(lowest, highest), unserved=unserved)
    for key, name, lowest, highest, unserved in _TABLE
)
"""In the order of their keys. 4 to 7 ended with Kafka 4.0."""
