"""The report of a fixed run: one file with everything in it, and whole when it is read back."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lab.facts import facts
from lab.outcome import Mark, Outcome
from lab.report.page import charts, report, verdict
from lab.report.stored import outcome_of
from raylog.model.errors import InvalidError

_VOID = {"meta", "rect", "polyline", "circle"}


class _Page(HTMLParser):
    """Its elements, its text, and whether each that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_report_is_well_formed_and_asks_nothing_of_the_network(outcome: Outcome) -> None:
    text = report(outcome)
    page = _Page(text)
    assert page.open == []
    assert page.links == []
    assert "http" not in text
    assert "url(" not in text
    assert page.counts["figure"] == page.counts["h3"] - 4 == len(list(charts(outcome)))


def test_a_report_says_what_was_found_and_of_what(outcome: Outcome) -> None:
    texts = _Page(report(outcome)).texts
    assert "A <small> run" in texts
    assert "40 acknowledged records: none lost, none doubled, none reordered." in texts
    for said in ("lost", "kill b: p99", "3,000 ms", "put_if_absent requests", "2 cores", "latency p99.9"):
        assert said in texts
    assert any("{at: 4, do: kill, node: b}" in text for text in texts)
    assert any("S3 Standard, us-east-1" in text for text in texts)


def test_an_outcome_is_whole_when_it_is_read_back(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report(outcome), encoding="utf-8")
    assert outcome_of(path) == replace(outcome, machine=dict(outcome.machine))


def test_texts_cannot_end_the_data_or_become_markup(outcome: Outcome, tmp_path: Path) -> None:
    nasty = replace(outcome, title="</script><b>x</b>", source='a: "</script>"')
    path = tmp_path / "report.html"
    path.write_text(report(nasty), encoding="utf-8")
    assert "b" not in _Page(path.read_text()).counts
    assert outcome_of(path).title == nasty.title


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<html></html>", "there is no data in it"),
        (b"\xff\xfe\x00", "it is not even text"),
        (b'<script type="application/json" id="raylog-lab">{"format":9}</script>', "format 9, and this Raylog reads 1"),
        (b'<script type="application/json" id="raylog-lab">{"for</script>', "a damaged report"),
        (b'<script type="application/json" id="raylog-lab">{"format":1}</script>', "a damaged report"),
    ],
)
def test_what_is_no_report_is_refused_with_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "other.html"
    path.write_bytes(content)
    with pytest.raises(InvalidError, match=sentence):
        outcome_of(path)


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="cannot be read: No such file"):
        outcome_of(tmp_path / "none.html")


def test_a_verdict_names_what_is_wrong(outcome: Outcome) -> None:
    lost = replace(outcome, counts={**outcome.counts, "lost": 2, "reordered": 1})
    assert verdict(lost) == "Not sound: 2 lost, 1 reordered."
    failed = Mark(at=1, ended=2, kind="drain", label="drain b", failure="No such command.")
    assert verdict(replace(outcome, marks=[failed])).endswith("but what could not be done: drain b.")


def test_facts_have_readable_numbers(outcome: Outcome) -> None:
    texts = {fact.name: fact.text for fact in facts(outcome)}
    assert texts["requests, dollars"] == "0.000500"
    assert texts["requests, dollars an hour"] == "0.180"
    assert texts["throughput, records/s"] == "4"
    assert texts["throughput, MiB/s"] == "0.00392"
    assert texts["a move: partitions"] == "1"


def test_what_is_not_known_is_left_out(outcome: Outcome) -> None:
    bare = replace(outcome, requests={}, request_totals={}, absences=[], latency_ms={})
    assert {fact.group for fact in facts(bare)} == {"history", "load"}
    assert len(list(charts(bare))) == len(list(charts(outcome))) - 2
