"""What the controller remembers of loads and moves."""

from types import SimpleNamespace
from uuid import UUID

import pytest

from controller.balance.book import LoadBook
from raylog.model.ids import LeaderId, LogEpoch, TopicId, TopicPartition
from raylog.model.limits import BalanceLimits
from raylog.model.load import LoadReport, PartitionLoad

ONE, TWO = LeaderId(1), LeaderId(2)
EPOCH = LogEpoch(3)
PARTITION = TopicPartition(TopicId(UUID(int=1)), 0)
LIMITS = BalanceLimits(report_s=10.0, rest_s=100.0, move_bytes_min=1000)


class Desk:
    def __init__(self):
        self.now_s = 50.0
        self.book = LoadBook(SimpleNamespace(monotonic=lambda: self.now_s), LIMITS)

    def report(self, leader_id, *rates, epoch=EPOCH):
        loads = tuple(PartitionLoad(PARTITION._replace(partition=n), rate, 0.0, 0.0) for n, rate in enumerate(rates))
        self.book.report(leader_id, epoch, LoadReport(partitions=loads, cpu=0.1, memory_bytes=5))


@pytest.fixture
def desk():
    return Desk()


def test_the_newest_report_of_a_leader_counts(desk):
    desk.report(ONE, 500.0, 700.0)
    desk.report(ONE, 600.0)
    assert desk.book.page().load(PARTITION, ONE) == 600.0
    assert desk.book.page().load(PARTITION._replace(partition=1), ONE) == 0.0
    assert desk.book.page().load(PARTITION, TWO) == 0.0


def test_a_report_is_of_one_open_of_its_leader(desk):
    desk.report(ONE, 500.0)
    seen = desk.book.leader(ONE, EPOCH)
    assert (seen.bytes_in, seen.weight, seen.cpu, seen.memory_bytes) == (500.0, 500.0, 0.1, 5)
    assert desk.book.leader(ONE, LogEpoch(EPOCH + 1)) is None


def test_a_partition_takes_its_load_along_until_it_is_measured_again(desk):
    desk.report(ONE, 500.0)
    desk.book.moving([(PARTITION, ONE)])
    desk.report(ONE)
    desk.report(TWO)
    assert desk.book.page().load(PARTITION, TWO) == 500.0
    desk.report(TWO, 650.0)
    assert desk.book.page().load(PARTITION, TWO) == 650.0


def test_a_load_that_nobody_measures_again_is_forgotten(desk):
    desk.report(ONE, 500.0)
    desk.book.moving([(PARTITION, ONE)])
    desk.now_s += 41
    desk.book.forget_old()
    assert desk.book.page().load(PARTITION, TWO) == 0.0


def test_what_has_moved_rests(desk):
    assert desk.book.page().rests_s(PARTITION) == 0.0
    desk.book.moving([(PARTITION, ONE)])
    desk.now_s += 40
    assert desk.book.page().rests_s(PARTITION) == 60.0
    desk.now_s += 60
    desk.book.forget_old()
    assert desk.book.page().rests_s(PARTITION) == 0.0
    assert not desk.book.has_resting


def test_small_changes_are_no_news(desk):
    desk.report(ONE, 100_000.0)
    assert desk.book.take_news()
    desk.report(ONE, 104_000.0)
    assert not desk.book.take_news()
    desk.report(ONE, 110_000.0)
    assert desk.book.take_news()
    assert not desk.book.take_news()
