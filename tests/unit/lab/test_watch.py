"""What is seen of a cluster once a second, also when it does not answer."""

import threading
from pathlib import Path

from lab.history.journal import Journal
from lab.history.verdict import events_of
from lab.watch import Seen, Watch
from raylog.model.clock import SystemClock
from raylog.model.errors import RetryError

SEEN = Seen(brokers=2, leaders=3, led={"a": 4, "b": 2}, moving=1)


def test_a_look_is_in_the_journal(tmp_path: Path) -> None:
    looked = threading.Event()
    with (
        Journal(tmp_path / "journal", SystemClock()) as journal,
        Watch(journal, "a:1", lambda _: SEEN, lambda: {"put": 5.0}, looked.set) as watch,
    ):
        assert looked.wait(60)
        assert watch.seen == SEEN
        assert watch.counts == {"put": 5.0}
    first, *_ = [line for line in events_of(tmp_path / "journal") if line["event"] == "look"]
    assert (first["brokers"], first["leaders"], first["led"], first["moving"]) == (2, 3, {"a": 4, "b": 2}, 1)
    assert first["requests"] == {"put": 5.0}


def test_what_does_not_answer_is_left_out(tmp_path: Path) -> None:
    def away(_bootstrap: str) -> Seen:
        raise RetryError("It is away.")

    def gone() -> dict[str, float]:
        raise ConnectionRefusedError

    looked = threading.Event()
    with Journal(tmp_path / "journal", SystemClock()) as journal, Watch(journal, "a:1", away, gone, looked.set):
        assert looked.wait(60)
    assert all(line.keys() == {"t", "event", "at"} for line in events_of(tmp_path / "journal"))
