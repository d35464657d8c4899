"""What a file says, and the one sentence for what is wrong in it."""

from pathlib import Path

import pytest

from lab.experiment import Kind, LocalCluster, RunningCluster
from lab.experiment_file import load, parse
from lab.shapes import Diurnal, Spike, Steady
from lab.shipped import all_shipped, find
from raylog.model.errors import InvalidError

TOPICS = "topics: [{name: t, partitions: 3}]\n"
LOAD = "load: [{topic: t, rate: 10}]\n"
START = f"seconds: 30\n{TOPICS}{LOAD}"


def _parse(text: str):
    return parse(text, "mine", "mine.yaml")


def test_what_is_not_said_has_a_default() -> None:
    made = _parse(START)
    assert (made.name, made.title, made.seconds, made.seed, made.events) == ("mine", "mine", 30.0, 1, ())
    assert made.cluster == LocalCluster(nodes=("a", "b"))
    [load_] = made.loads
    assert (load_.shape, load_.skew, load_.members, load_.producers) == (Steady(per_second=10), 0.0, 1, 1)
    assert made.source == START


def test_a_local_cluster_says_its_nodes_bucket_and_settings() -> None:
    made = _parse(
        START
        + "cluster: {nodes: 3, latency: s3-express, spares: 0, broker: {auto.leader.rebalance.enable: true},"
        + " limits: {balance: {rest_s: 1.5, moves_max: 4}}}\n"
    ).cluster
    assert isinstance(made, LocalCluster)
    assert (made.nodes, made.latency, made.options) == (("a", "b", "c"), "s3-express", {"spares": 0})
    assert made.broker == {"auto.leader.rebalance.enable": "true"}
    assert made.limits == {"balance": {"rest_s": 1.5, "moves_max": 4}}


def test_a_cluster_of_the_autoscaler_begins_with_one_node() -> None:
    made = _parse(START + "cluster: {autoscaled: 2}\n").cluster
    assert made == LocalCluster(nodes=("a",), autoscaled=("b", "c"))


def test_a_running_cluster_says_where_it_is() -> None:
    made = _parse(
        START
        + "cluster: {kind: running, bootstrap: 'x:9092', address: 'x:6379', metrics: ['http://x:9404/metrics']}\n"
        + "events: [{at: 1, do: drain, node: any}]\n"
    ).cluster
    assert made == RunningCluster(bootstrap="x:9092", address="x:6379", metrics=("http://x:9404/metrics",))


def test_many_topics_are_numbered() -> None:
    made = _parse("seconds: 1\ntopics: [{name: t, count: 3}]\n" + LOAD)
    assert made.topics[0].names == ("t-0000", "t-0001", "t-0002")


@pytest.mark.parametrize(
    ("keys", "shape"),
    [
        ("shape: spike, rate: 1, peak: 9, from: 2, for: 3", Spike(per_second=1, peak=9, from_s=2, for_s=3)),
        ("shape: diurnal, rate: 1, peak: 9", Diurnal(per_second=1, peak=9, period_s=30)),
        ("shape: skewed, rate: 1", Steady(per_second=1)),
    ],
)
def test_shapes_have_their_keys(keys: str, shape: object) -> None:
    [made] = _parse(f"seconds: 30\n{TOPICS}load: [{{topic: t, {keys}}}]\n").loads
    assert made.shape == shape
    assert made.skew == (1.0 if "skewed" in keys else 0.0)


def test_events_come_in_the_order_of_time_with_their_labels() -> None:
    made = _parse(
        START
        + "events:\n- {at: 9, do: kill, role: leader, node: b}\n- {at: 2, do: add, node: c}\n"
        + "- {at: 3, do: preempt, node: c, notice: 2}\n- {at: 4, do: slow-bucket, ms: 50, for: 1}\n"
        + "- {at: 7, do: gcs-away, for: 1.5}\n"
        + "- {at: 5, do: slow-node, node: a, factor: 2, for: 1}\n- {at: 6, do: pause, role: controller, for: 4}\n"
    ).events
    assert [event.label for event in made] == [
        "add c",
        "preempt c, 2 s notice",
        "bucket +50 ms for 1 s",
        "a 2x slower for 1 s",
        "pause controller for 4 s",
        "no GCS for 1.5 s",
        "kill leader of b",
    ]
    assert made[0].kind is Kind.ADD


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n", "The experiment must be a table of keys and values, not a list"),
        ("a: [b\n", "is not valid YAML: .* in line 2"),
        (TOPICS + LOAD, "'seconds' is missing"),
        (f"seconds: fast\n{TOPICS}{LOAD}", "'seconds' must be a number, 0 or more, not 'fast'"),
        (f"seconds: 0\n{TOPICS}{LOAD}", "'seconds' must be a number above 0, not 0"),
        (START + "colour: red\n", "there is no key 'colour'; the keys there are cluster, topics, seconds"),
        (f"seconds: 3\n{TOPICS}load: [{{topic: u, rate: 1}}]\n", r"'load\[0\].topic' must be one of t, not 'u'"),
        (f"seconds: 3\n{TOPICS}load: [{{topic: t, rate: -1}}]\n", r"'load\[0\].rate' must be a number, 0 or more"),
        (f"seconds: 3\n{TOPICS}load: [{{topic: t, rate: 1, peek: 2}}]\n", r"no key 'peek' in 'load\[0\]'"),
        (f"seconds: 3\n{TOPICS}load: []\n", "'load' must be a list of at least 1 tables"),
        (f"seconds: 3\n{TOPICS}load: [{{topic: t, shape: sine, rate: 1}}]\n", "steady, spike, diurnal, skewed"),
        (START + "cluster: {nodes: 0}\n", "'cluster.nodes' must be a whole number, 1 or more, not 0"),
        (START + "cluster: {nodes: 99}\n", "at most 20"),
        (START + "cluster: {autoscaled: 20}\n", "at most 20"),
        (
            START + "cluster: {nodes: 2, autoscaled: 1}\n",
            "'cluster.nodes' must be 1, as Ray's autoscaler starts all others",
        ),
        (START + "cluster: {autoscaled: 1}\nevents: [{at: 1, do: add, node: b}]\n", "Ray's autoscaler adds the nodes"),
        (START + "cluster: {latency: floppy}\n", "'cluster.latency' must be one of none, s3-standard"),
        (START + "cluster: {broker: 7}\n", "'cluster.broker' must be settings by their names, not 7"),
        (START + "cluster: {limits: {balance: {rest: 1}}}\n", "'cluster.limits' is wrong. .*rest"),
        (f"seconds: 3\ntopics: [{{name: t, wal: tape}}]\n{LOAD}", r"'topics\[0\].wal' must be one of file, object"),
        (START + "cluster: {kind: running, bootstrap: nowhere}\n", "'nowhere' is not an address"),
        (START + "events: [{at: 1, do: explode}]\n", r"'events\[0\].do' must be one of add, drain, preempt"),
        (START + "events: [{at: 30, do: kill, node: b}]\n", "before the end of the load, below 30"),
        (START + "events: [{at: 1, do: kill, node: a}]\n", "another than 'a', which has Ray's own GCS"),
        (START + "events: [{at: 1, do: kill, node: c}]\n", r"one of those that are there then \(a, b\)"),
        (START + "events: [{at: 1, do: add, node: b}]\n", "a new name, as a, b are there then"),
        (START + "events: [{at: 1, do: kill}]\n", r"'events\[0\].node' is missing"),
        (START + "events: [{at: 1, do: pause, node: b}]\n", r"'events\[0\].for' is missing"),
        (
            START + "events: [{at: 1, do: kill, node: b}, {at: 2, do: drain, node: b}]\n",
            r"one of those that are there then \(a\)",
        ),
        (START + "cluster: {kind: running}\nevents: [{at: 1, do: kill, node: b}]\n", "asked of a running cluster"),
        (START + "cluster: {kind: running}\nevents: [{at: 1, do: drain, node: b}]\n", "'cluster.address' must say"),
        (f"seconds: 1\ntopics: [{{name: t}}, {{name: t}}]\n{LOAD}", "two topics 't'"),
    ],
)
def test_a_mistake_gets_one_sentence_with_its_key(text: str, sentence: str) -> None:
    with pytest.raises(InvalidError, match=sentence) as raised:
        _parse(text)
    assert str(raised.value).startswith("mine.yaml") or "nowhere" in text
    assert "\n" not in str(raised.value)


def test_a_killed_node_may_come_back() -> None:
    made = _parse(START + "events: [{at: 2, do: add, node: b}, {at: 1, do: kill, node: b}]\n")
    assert [event.kind for event in made.events] == [Kind.KILL, Kind.ADD]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="'raylog lab list' shows"):
        load(tmp_path / "none.yaml")


def test_every_shipped_experiment_can_be_read_and_says_what_it_is() -> None:
    shipped = all_shipped()
    assert len(shipped) >= 5
    assert all(one.about and one.title != one.name and one.seconds <= 600 for one in shipped)
    assert find(shipped[0].name) == shipped[0]


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidError, match=r"Raylog comes with .*kill-a-node"):
        find("kill-everything")


def test_a_path_is_a_file_and_not_a_shipped_experiment(tmp_path: Path) -> None:
    (tmp_path / "kill-a-node.yaml").write_text(START)
    assert find(str(tmp_path / "kill-a-node.yaml")).seconds == 30
