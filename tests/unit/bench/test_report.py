"""The bench's arithmetic and its page: what a reader of docs/performance.md relies on."""

from pathlib import Path

import pytest

from bench import report
from bench.clients.latency import _percentiles
from bench.measures import MEASURES, Figure
from bench.runs import Results
from bench.servers import RaylogServer


def results(values: dict[str, list[tuple[float, float]]]) -> Results:
    """Per server, (MB/s, ms) of each round."""
    made = Results()
    for name, rounds in values.items():
        server = RaylogServer(name=name, title=name.title(), wal="file")
        for rate, latency in rounds:
            made.add(server, Figure(name="produce", value=rate, unit="MB/s"))
            made.add(server, Figure(name="p99", value=latency, unit="ms", better="lower"))
    return made


def test_a_ratio_above_one_means_better_whatever_the_unit() -> None:
    made = results({"file": [(200, 5)], "kafka": [(100, 10)]})
    assert report.rows(made, "file") == [
        ["", "File", "Kafka", "vs kafka"],
        ["produce, MB/s", "200", "100", "2.00x"],
        ["p99, ms", "5.00", "10.0", "2.00x"],
    ]


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was three times as slow in the second round, for both.
    made = results({"file": [(300, 1), (110, 1), (330, 1)], "kafka": [(300, 1), (100, 1), (300, 1)]})
    assert made.ratio("file", "kafka", "produce") == pytest.approx(1.1)
    assert made.value("file", "produce") == 300


def test_without_the_compared_server_there_are_no_ratios() -> None:
    assert report.rows(results({"kafka": [(1, 1)]}), "file")[0] == ["", "Kafka"]


def test_rewriting_a_section_keeps_the_rest_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- a:begin -->\nold\n<!-- a:end -->\nafter\n<!-- b:begin -->\nkept\n<!-- b:end -->\n")
    monkeypatch.setattr(report, "PERFORMANCE_PAGE", page)
    report.rewrite_page("a", [["", "File"], ["produce, MB/s", r"\1"]], {"machine": "2 cores"}, "python -m bench")
    text = page.read_text()
    assert text.startswith("before\n") and "after\n<!-- b:begin -->\nkept\n<!-- b:end -->\n" in text
    assert "old" not in text and r"| produce, MB/s | \1 |" in text and "2 cores" in text
    with pytest.raises(ValueError, match="no section"):
        report.rewrite_page("c", [[""]], {}, "")


def test_the_page_has_both_sections() -> None:
    text = report.PERFORMANCE_PAGE.read_text()
    for section in ("bench", "bench-kafka"):
        assert f"<!-- {section}:begin -->" in text and f"<!-- {section}:end -->" in text


def test_percentiles_are_of_all_latencies() -> None:
    found = _percentiles([n / 1000 for n in range(1, 1001)])
    assert found == pytest.approx({"p50_ms": 500, "p99_ms": 990, "p999_ms": 999, "max_ms": 1000})


def test_measurements_have_names_of_their_own() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
