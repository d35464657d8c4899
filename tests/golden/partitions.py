"""What the golden files of the leader logs tell of: partitions with all that a partition can have."""

from uuid import UUID

from raylog.leader.log_state import LedSnapshot, LogSnapshot
from raylog.leader.releases import Release as Left
from raylog.leader.releases import ReleasesSnapshot
from raylog.model.ids import LeaderEpoch, ProducerId, TopicId, TopicPartition
from raylog.partition.flushed_state import PartitionSnapshot
from raylog.partition.offset_index import SEGMENT, UPLOAD, IndexSnapshot
from raylog.partition.outcomes import AbortedTransaction
from raylog.partition.producer_state import ProducerBatch, ProducerSnapshot
from raylog.partition.transactions import TransactionsSnapshot
from raylog.storage.data_object import IndexRow, ProducerRow, SlotMeta
from raylog.storage.slot_events import (
    Adopt,
    Delete,
    HandOver,
    LogStart,
    Release,
    SegmentPut,
    Swap,
    SwapPart,
    SwapRow,
    TakeOver,
    WalPosition,
)

ORDERS = TopicId(UUID("01234567-89ab-4def-8123-456789abcdef"))
CLICKS = TopicId(UUID(int=2**128 - 1))
HANDOVER = 2**63 - 1
BODY = b"batches of orders-0, then some more of them, then those of clicks-7"

META = SlotMeta(
    index=[
        IndexRow(ORDERS, 0, 100, 149, 64, 19, 1_700_000_000_000, 50, LeaderEpoch(4)),
        IndexRow(ORDERS, 0, 150, 150, 83, 25, 1_700_000_000_001, 1, LeaderEpoch(4)),
        IndexRow(CLICKS, 7, 2**62, 2**62 + 1, 108, 23, -1, 2, LeaderEpoch(2**31 - 1)),
    ],
    producers=[ProducerRow(ORDERS, 0, ProducerId(1000), 3, 2**31 - 1, 5, 100, 106, 1_700_000_000_000)],
    events=[
        Adopt(partition=TopicPartition(ORDERS, 0), epoch_base=-3, topic_name="orders", configs={"retention.ms": "1"}),
        Release(partition=TopicPartition(CLICKS, 4), end_offset=99),
        HandOver(partition=TopicPartition(ORDERS, 1), end_offset=5, epoch_base=-3, handover=HANDOVER, first_slot=12),
        TakeOver(
            partition=TopicPartition(CLICKS, 7),
            epoch_base=2,
            topic_name="clicks",
            from_leader=4,
            handover=HANDOVER,
            configs={"retention.ms": "1"},
        ),
        Delete(partition=TopicPartition(CLICKS, 4)),
        LogStart(partition=TopicPartition(ORDERS, 0), offset=17),
        WalPosition(epoch=3, lsn=2**40),
        SegmentPut(segment=2**63 - 1),
        Swap(
            segment=1 << 60,
            parts=(
                SwapPart(
                    TopicPartition(ORDERS, 0),
                    (SwapRow(20, 69, 64, 1000, 5, 50, 4), SwapRow(70, 70, 1064, 5, -1, 1, 5)),
                ),
                SwapPart(TopicPartition(CLICKS, 7), (SwapRow(2**61, 2**61 + 1, 2**40, 2**30, 2**45, 2, 2**31 - 1),)),
            ),
        ),
    ],
)

UPLOAD_NUMBER = 1_700_000_000_000 << 21 | 12345
META_WITH_UPLOADS = SlotMeta(
    index=[
        *META.index,
        IndexRow(CLICKS, 7, 2**62 + 2, 2**62 + 5, 9_000, 400, 7, 4, LeaderEpoch(2**31 - 1), UPLOAD_NUMBER),
    ],
    producers=META.producers,
    events=META.events,
)

PARTITIONS = (
    LedSnapshot(
        partition=TopicPartition(ORDERS, 0),
        topic_name="orders",
        epoch_base=-3,
        configs={"retention.ms": "1", "cleanup.policy": "delete"},
        as_of_slot=41,
        state=PartitionSnapshot(
            log_start_offset=17,
            end_offset=151,
            leader_epochs=((2, 17), (4, 100)),
            producers=(
                ProducerSnapshot(
                    producer_id=1000,
                    producer_epoch=3,
                    batches=(
                        ProducerBatch(2**31 - 8, 2**31 - 1, 100, 107, 1_700_000_000_000),
                        ProducerBatch(0, 5, 108, 113, 1_700_000_000_001),
                    ),
                    coordinator_epoch=2,
                    transaction_first_offset=110,
                ),
                ProducerSnapshot(producer_id=1001, producer_epoch=9, batches=()),
            ),
            transactions=TransactionsSnapshot(
                open=((1000, 110),),
                aborted=(AbortedTransaction(1002, 20, 30, 31), AbortedTransaction(1003, 40, 50, 51)),
            ),
            index=IndexSnapshot(
                columns=(
                    [SEGMENT, 3, 4],
                    [1 << 60, 12, 41],
                    [64, 64, 2**40],
                    [1000, 2**31 - 1, 25],
                    [17, 70, 150],
                    [69, 149, 150],
                    [1_700_000_000_000, -1, 1_700_000_000_001],
                    [2, 2, 4],
                    [53, 80, 1],
                )
            ),
        ),
    ),
    LedSnapshot(
        partition=TopicPartition(CLICKS, 7),
        topic_name="clicks",
        epoch_base=2,
        configs={},
        as_of_slot=42,
        state=PartitionSnapshot(),
    ),
)

PARTITIONS_WITH_UPLOADS = (
    PARTITIONS[0],
    LedSnapshot(
        partition=TopicPartition(CLICKS, 7),
        topic_name="clicks",
        epoch_base=2,
        configs={},
        as_of_slot=42,
        state=PartitionSnapshot(
            end_offset=4,
            leader_epochs=((2, 0),),
            index=IndexSnapshot(columns=([UPLOAD], [UPLOAD_NUMBER], [9_000], [400], [0], [3], [7], [2], [4])),
        ),
    ),
)

CHANGES = {
    "log_start_offset": 17,
    "end_offset": 152,
    "leader_epochs": [[2, 17], [4, 100]],
    "rows": [[3, 42, 64, 25, 151, 151, 1_700_000_000_002, 4, 1]],
    "producers": [[1000, 3, 2, 110, [[6, 6, 151, 151, 1_700_000_000_002]]]],
    "open_transactions": [[1000, 110]],
    "aborted_transactions": [[1002, 20, 30, 31]],
}
"""Of orders-0, as far as it is in ``PARTITIONS``."""

TAKE_OVER_WITH_CHANGES = TakeOver(
    partition=TopicPartition(CLICKS, 8),
    epoch_base=2,
    topic_name="clicks",
    from_leader=4,
    handover=HANDOVER,
    changes=CHANGES,
)

META_WITH_MOVES = SlotMeta(
    index=META_WITH_UPLOADS.index,
    producers=META.producers,
    events=[
        *META.events,
        TAKE_OVER_WITH_CHANGES,
        HandOver(
            partition=TopicPartition(ORDERS, 0),
            end_offset=151,
            epoch_base=-3,
            handover=HANDOVER,
            first_slot=12,
            handed_log_start_offset=17,
            handed_end_offset=100,
        ),
    ],
)

RELEASES_BEFORE_CHANGES = ReleasesSnapshot(
    first_slot=12, untold=((TopicPartition(ORDERS, 1), Left(epoch_base=-3, handover=HANDOVER)),)
)

RELEASES = ReleasesSnapshot(
    first_slot=12,
    untold=(
        (TopicPartition(ORDERS, 1), Left(epoch_base=-3, handover=HANDOVER)),
        (TopicPartition(ORDERS, 2), Left(epoch_base=-3, handover=HANDOVER, changes=CHANGES)),
    ),
    wal_position=WalPosition(epoch=3, lsn=2**40),
)

SNAPSHOT_BEFORE_CHANGES = LogSnapshot(partitions=PARTITIONS, releases=RELEASES_BEFORE_CHANGES)
SNAPSHOT_WITH_UPLOADS_BEFORE_CHANGES = LogSnapshot(partitions=PARTITIONS_WITH_UPLOADS, releases=RELEASES_BEFORE_CHANGES)
SNAPSHOT = LogSnapshot(partitions=PARTITIONS_WITH_UPLOADS, releases=RELEASES)
