"""``raylog lab`` without a cluster: the list, a comparison, and mistakes."""

import json
from pathlib import Path

import pytest

from lab.experiment_file import parse
from lab.outcome import Outcome
from lab.report.page import report
from raylog.cli.main import EXIT_FAILED, EXIT_USAGE, run


@pytest.fixture
def reports(tmp_path: Path) -> tuple[Path, Path]:
    """Of the same run, but for a latency."""
    experiment = parse("seconds: 2\ntopics: [{name: t}]\nload: [{topic: t, rate: 1}]\n", "mine", "mine.yaml")
    paths = tmp_path / "a.html", tmp_path / "b.html"
    for path, p99 in zip(paths, (10.0, 20.0), strict=True):
        names = ("offered", "acknowledged", "read", "mib", "p50_ms", "p99_ms", "p999_ms", "without_leader", "nodes")
        outcome = Outcome(
            name=experiment.name,
            title=experiment.title,
            about="",
            source=experiment.source,
            machine={},
            seconds=2.0,
            window_s=1.0,
            series={name: [1.0, 1.0] for name in (*names, "leaders", "moving", "dollars")},
            p99_ms_of={},
            led={},
            requests={},
            marks=[],
            absences=[],
            latency_ms={"p99": p99},
            latency_ms_of={},
            counts=dict.fromkeys(("sent", "acknowledged", "read", "lost", "doubled", "reordered", "other"), 0),
            anomalies=[],
            bytes_acknowledged=0,
            request_totals={},
            dollars=0.0,
            prices="",
        )
        path.write_text(report(outcome), encoding="utf-8")
    return paths


def test_the_list_names_what_can_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "list", "--json"]) == 0
    assert "kill-a-node" in {one["name"] for one in json.loads(capsys.readouterr().out)}


def test_a_shown_experiment_is_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "show", "kill-a-node"]) == 0
    assert parse(capsys.readouterr().out, "again", "again.yaml").events


def test_two_reports_are_compared_in_the_terminal_and_as_a_page(
    reports: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "both.html"
    assert run(["lab", "compare", *map(str, reports), "--report", str(page)]) == 0
    assert "+100 %, worse" in capsys.readouterr().out
    assert "Two runs compared" in page.read_text()


def test_a_comparison_is_data_too(reports: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "compare", *map(str, reports), "--json"]) == 0
    facts = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert (facts["latency p99"]["a"], facts["latency p99"]["b"]) == (10.0, 20.0)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["lab", "run"], EXIT_USAGE, "Missing argument"),
        (["lab", "run", "nothing"], EXIT_FAILED, "There is no experiment 'nothing'"),
        (["lab", "run", "/no/such.yaml"], EXIT_FAILED, "cannot be read"),
        (["lab", "run", "kill-a-node", "--report", "/no/such/folder/x.html"], EXIT_FAILED, "no folder /no/such/folder"),
        (["lab", "compare", "/no/a.html", "/no/b.html"], EXIT_FAILED, "The report /no/a.html cannot be read"),
    ],
)
def test_a_mistake_gets_one_sentence(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    [line] = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_folder_to_keep_things_in_must_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "something").touch()
    arguments = ["lab", "run", "kill-a-node", "--keep", str(tmp_path), "--report", str(tmp_path / "x.html")]
    assert run(arguments) == EXIT_FAILED
    assert "is not empty" in capsys.readouterr().err
