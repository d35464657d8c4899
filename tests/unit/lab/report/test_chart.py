"""Charts are well-formed SVG with every line, gap and event in it."""

import xml.etree.ElementTree as ET

import pytest

from lab.report.chart import COLOURS, HEIGHT, WIDTH, Chart, Event, Line, line_class, log_ticks, nice_ticks, svg


def _chart(**changed: object) -> Chart:
    values = {"title": "A & B", "lines": [Line(name="a", values=[1, 2, 3])], "seconds": 3.0, "window_s": 1.0}
    return Chart(**(values | changed))  # type: ignore[arg-type]


def _tree(chart: Chart) -> ET.Element:
    return ET.fromstring(svg(chart))


def _points(tree: ET.Element) -> list[list[tuple[float, float]]]:
    drawn = [line.attrib["points"].split() for line in tree.iter("polyline")]
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in line)] for line in drawn]


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [(0, (0, 1)), (1, (0, 0.2, 0.4, 0.6, 0.8, 1)), (7, (0, 2, 4, 6, 8)), (430, (0, 100, 200, 300, 400, 500))],
)
def test_ticks_are_round_and_reach_the_highest_value(highest: float, ticks: tuple[float, ...]) -> None:
    assert nice_ticks(highest) == pytest.approx(ticks)


def test_whole_numbers_have_whole_ticks() -> None:
    assert nice_ticks(2, is_whole=True) == (0, 1, 2)


@pytest.mark.parametrize(
    ("values", "ticks"), [([], (1, 10)), ([5], (1, 10)), ([0.0, 3], (0.1, 1, 10)), ([12, 4000], (10, 100, 1000, 10000))]
)
def test_log_ticks_are_the_decades_around_all_values(values: list[float], ticks: tuple[float, ...]) -> None:
    assert log_ticks(values) == pytest.approx(ticks)


def test_higher_values_are_higher_and_later_ones_further_right() -> None:
    [points] = _points(_tree(_chart()))
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_what_is_not_known_is_a_gap_and_a_lone_value_a_dot() -> None:
    tree = _tree(_chart(lines=[Line(name="a", values=[1, 2, None, 3, None])], seconds=5.0))
    assert [len(line) for line in _points(tree)] == [2]
    assert len(list(tree.iter("circle"))) == 1


def test_a_chart_of_nothing_is_one_of_axes() -> None:
    assert _points(_tree(_chart(lines=[Line(name="a", values=[None] * 3)]))) == []


def test_a_log_scale_gives_each_decade_the_same_height() -> None:
    [points] = _points(_tree(_chart(lines=[Line(name="a", values=[1, 10, 100])], is_log=True)))
    (_, first), (_, second), (_, third) = points
    assert first - second == pytest.approx(second - third, abs=0.2)


def test_events_are_lines_with_labels_and_bands_where_they_last() -> None:
    tree = _tree(_chart(events=[Event(at=1, ended=1, label="kill <b>"), Event(at=1.5, ended=2.5, label="slow")]))
    assert [text.text for text in tree.iter("text") if text.attrib["class"] == "label"] == ["kill <b>", "slow"]
    assert len([line for line in tree.iter("line") if line.attrib["class"] == "event"]) == 2
    assert len([band for band in tree.iter("rect") if band.attrib["class"] == "band"]) == 1


def test_labels_that_would_overlap_are_in_rows_of_their_own() -> None:
    events = [Event(at=at, ended=at, label="a label of some length") for at in (1, 1.01, 1.02, 2.9)]
    labels = [text for text in _tree(_chart(events=events)).iter("text") if text.attrib["class"] == "label"]
    assert len({text.attrib["y"] for text in labels[:3]}) == 3
    assert labels[3].attrib["text-anchor"] == "end", "the last would leave the chart on its right"


def test_events_beyond_the_rows_have_a_line_that_says_what_it_is() -> None:
    events = [Event(at=1 + n / 1000, ended=0, label=f"a label of some length {n}") for n in range(6)]
    tree = _tree(_chart(events=events))
    assert len([text for text in tree.iter("text") if text.attrib["class"] == "label"]) == 4
    titles = [title.text for line in tree.iter("line") for title in line.iter("title")]
    assert titles == [event.label for event in events]


def test_more_lines_than_colours_are_told_apart_by_dashes() -> None:
    assert len({line_class(number) for number in range(2 * COLOURS)}) == 2 * COLOURS
