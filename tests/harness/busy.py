"""A cluster at work: an idempotent producer, and a group that reads what it sends, while something happens to the cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.harness.group_reader import group_reader
from tests.harness.load import Load, create_topic, read_all, until

TOPIC = "load"
_GAP_S = 0.002


@dataclass(frozen=True, slots=True)
class Work:
    load: Load
    read: list[bytes]
    """What the group has read so far."""

    def goes_on(self, records: int) -> None:
        """Waits until so many more records are acknowledged, and so many more read, than now."""
        goal = len(self.read) + records
        self.load.acknowledges(records)
        until(lambda: len(self.read) >= goal, "the group reads on")


@contextmanager
def busy(*bootstraps: str) -> Iterator[Work]:
    """Both are under way inside; in the end each record is there once, and the group has read all of them."""
    create_topic(bootstraps[0], TOPIC, "file")
    everywhere = ",".join(bootstraps)
    with group_reader(everywhere, TOPIC) as read:
        with Load(everywhere, TOPIC, idempotent=True, gap_s=_GAP_S) as load:
            work = Work(load, read)
            work.goes_on(500)
            yield work
        log = read_all(bootstraps[0], TOPIC)
        load.check(log)
        until(lambda: set(read) == set(log.values()), "the group has read every record")
