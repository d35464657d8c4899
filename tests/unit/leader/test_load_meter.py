"""Rates of partitions, as a leader measures and reports them."""

import pickle
from types import SimpleNamespace
from uuid import UUID

import pytest

from raylog.leader.load_meter import LoadMeter, PartitionWork
from raylog.model.ids import TopicId, TopicPartition
from raylog.model.limits import BalanceLimits
from raylog.model.load import REQUEST_BYTES, LoadReport, PartitionLoad, ProcessUsage

TOPIC = TopicId(UUID(int=7))
LIMITS = BalanceLimits(report_s=10.0, half_life_s=10.0)


class Bench:
    """A meter, the partitions that it measures, and the time."""

    def __init__(self, partitions=2):
        self.now_s = 100.0
        self.used = ProcessUsage(5.0, 1000)
        self.hosted = [
            SimpleNamespace(partition=TopicPartition(TOPIC, n), work=PartitionWork()) for n in range(partitions)
        ]
        clock = SimpleNamespace(monotonic=lambda: self.now_s)
        self.requests = 0
        self.meter = LoadMeter(self.hosted, clock, LIMITS, lambda: self.used, lambda: self.requests)

    def work(self, number, *, bytes_in=0, bytes_out=0, requests=1):
        work = self.hosted[number].work
        work.bytes_in += bytes_in
        work.bytes_out += bytes_out
        work.requests += requests

    def report_after(self, seconds):
        self.now_s += seconds
        self.meter.look()
        return self.meter.take()


@pytest.fixture
def bench():
    """After its first interval, of which nothing is known."""
    made = Bench()
    made.meter.look()
    made.work(0, bytes_in=10**9)
    assert made.report_after(10).partitions == ()
    return made


def rates(report):
    return {load.partition.partition: load[1:] for load in report.partitions}


def test_the_first_whole_interval_is_the_first_estimate(bench):
    bench.work(0, bytes_in=100_000, bytes_out=300_000, requests=20)
    bench.work(1, bytes_in=1)
    assert rates(bench.report_after(10)) == {0: pytest.approx((10_000, 30_000, 2))}


def test_estimates_follow_by_half_of_the_difference_in_a_half_life(bench):
    for _ in range(30):
        bench.work(0, bytes_in=100_000)
        bench.report_after(10)
    bench.work(0, bytes_in=300_000)
    assert rates(bench.report_after(10))[0][0] == pytest.approx(20_000)


def test_what_has_become_idle_is_not_reported_any_more(bench):
    bench.work(0, bytes_in=100_000)
    assert rates(bench.report_after(10))
    for _ in range(5):
        report = bench.report_after(10)
    assert report.partitions == ()


def test_a_partition_that_came_in_the_middle_of_an_interval_is_not_counted_for_it(bench):
    bench.hosted.append(SimpleNamespace(partition=TopicPartition(TOPIC, 2), work=PartitionWork()))
    bench.work(2, bytes_in=500_000)
    assert rates(bench.report_after(10)) == {}
    bench.work(2, bytes_in=500_000)
    assert rates(bench.report_after(10))[2][0] == pytest.approx(50_000)


def test_there_is_one_report_in_an_interval_and_each_is_given_once(bench):
    bench.work(0, bytes_in=100_000)
    assert bench.report_after(9) is None
    assert bench.report_after(1) is not None
    assert bench.meter.take() is None


def test_the_process_is_reported_too(bench):
    bench.used = ProcessUsage(10.0, 2000)
    report = bench.report_after(10)
    assert (report.cpu, report.memory_bytes) == (pytest.approx(0.25), 2000)


def test_a_request_weighs_as_much_as_some_bytes():
    assert PartitionLoad(TopicPartition(TOPIC, 0), 10.0, 20.0, 2.0).weight == 30 + 2 * REQUEST_BYTES


def test_a_report_of_ten_thousand_partitions_is_small_on_its_way():
    loads = tuple(PartitionLoad(TopicPartition(TOPIC, n), float(n), 2.0 * n, 8.0) for n in range(10_000))
    report = LoadReport(partitions=loads, cpu=0.5, memory_bytes=1 << 28)
    sent = pickle.dumps(report)
    assert len(sent) < 170_000
    assert pickle.loads(sent) == report


def test_a_leader_is_idle_for_as_long_as_no_request_of_any_kind_comes(bench):
    bench.requests = 3
    assert bench.report_after(10).idle_s == 0
    assert bench.report_after(10).idle_s == 10
    assert bench.report_after(15).idle_s == 25
    bench.requests = 4
    assert bench.report_after(10).idle_s == 0
