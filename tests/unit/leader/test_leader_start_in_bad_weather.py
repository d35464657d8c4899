"""Each request of a leader's start fails a few times, in each way in which S3 fails; the leader comes up with everything."""

from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.failing_store import TIMES, FailingStore, Fault


def only(response: Any) -> Any:
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    return partition


@pytest.fixture
def wal_url() -> str:
    return "object:?interval_ms=5"


@pytest.mark.parametrize("fault", Fault)
async def test_a_leader_starts_whatever_request_fails(cluster: Any, kit: Any, fault: Fault) -> None:
    bucket, shut = FailingStore(), cluster.store
    cluster.store = bucket.retried()
    client = await cluster.lead(kit.assignment())
    for n in range(2):
        assert only(await client.ask(kit.produce_request({0: kit.batch(b"%d" % n)}))).base_offset == n
        if not n:
            await cluster.leaders[-1]._parts.checkpoints.write()
    await cluster.crash()
    before = bucket.snapshot()
    bucket.heal()
    await cluster.start()
    requests = list(bucket.requests)
    assert {kind for kind, _ in requests} >= {"list", "get", "get_tail", "put_if_absent"}
    for nth in range(len(requests)):
        await cluster.crash()
        bucket.restore(before)
        bucket.fail(nth, fault)
        await cluster.start()
        assert 0 < bucket.failed <= TIMES, requests[nth]
        bucket.heal()
        client = await cluster.client()
        answer = only(await client.ask(kit.produce_request({0: kit.batch(b"2")})))
        assert (answer.error_code, answer.base_offset) == (ErrorCode.none, 2)
    await cluster.crash()
    cluster.store = shut
