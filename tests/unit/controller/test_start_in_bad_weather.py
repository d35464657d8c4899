"""Each request of a controller's start fails a few times, in each way in which S3 fails; it comes up with everything."""

import pytest

from raylog.model.admin import NewTopic
from tests.failing_store import TIMES, FailingStore, Fault


@pytest.mark.parametrize("fault", Fault)
async def test_a_controller_starts_whatever_request_fails(cluster, fault):
    bucket = FailingStore()
    cluster.store = bucket.retried()
    controller = await cluster.start()
    [result] = await controller.create_topics([NewTopic(name="orders", partitions=4)])
    assert result.error_code == 0
    topics = (await controller.watch_routes(0)).topics
    await controller.close()
    before = bucket.snapshot()
    bucket.heal()
    await cluster.restart()
    requests = list(bucket.requests)
    assert {kind for kind, _ in requests} >= {"list", "get_tail", "put_if_absent"}
    for nth in range(len(requests)):
        await cluster.controllers[-1].close()
        bucket.restore(before)
        bucket.fail(nth, fault)
        controller = await cluster.restart()
        assert bucket.failed, requests[nth]
        assert bucket.failed <= TIMES
        bucket.heal()
        assert (await controller.watch_routes(0)).topics == topics
