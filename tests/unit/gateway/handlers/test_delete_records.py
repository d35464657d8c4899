"""DeleteRecords: what a gateway refuses without asking a leader."""

from dataclasses import replace
from typing import Any

from kio.index import load_payload_module
from kio.schema.errors import ErrorCode
from kio.static.constants import EntityType


async def test_records_of_internal_topics_are_not_deleted(desk: Any) -> None:
    topics = desk.routes.table.topics
    desk.controller.change(topics={**topics, "beta": replace(topics["beta"], internal=True)})
    types = load_payload_module(21, 2, EntityType.request)
    partition = types.DeleteRecordsPartition(partition_index=0, offset=1)
    topic = types.DeleteRecordsTopic(name="beta", partitions=(partition,))
    answer = await desk.ask(21, 2, topics=(topic,), timeout=1000)
    ((refused,),) = (found.partitions for found in answer.topics)
    assert (refused.error_code, refused.low_watermark) == (ErrorCode.invalid_topic_exception, -1)
