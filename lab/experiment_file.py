"""From an experiment's file (YAML) to an ``Experiment``; docs/elasticity.md has the keys. What is wrong is one sentence."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml

from lab.experiment import HEAD, WAL_CLASSES, Event, Experiment, Kind, Load, LocalCluster, RunningCluster, Topics
from lab.shapes import Diurnal, Shape, Spike, Steady
from lab.yaml_table import Table
from raylog.model.config import HostPort
from raylog.model.errors import InvalidError
from raylog.model.limits import Limits
from raylog.storage.latency_model import LATENCY_MODELS

_SHAPES: Final = ("steady", "spike", "diurnal", "skewed")
_ROLES: Final = ("leader", "gateway", "controller")
_NODES_MAX: Final = 20
_BY_COMMAND: Final = frozenset((Kind.DRAIN,))
"""Events that a running cluster takes from its own commands; all others need its processes."""
_NODE_ENDS: Final = frozenset((Kind.KILL, Kind.PREEMPT))


def load(path: Path) -> Experiment:
    """Raises InvalidError."""
    try:
        return parse(path.read_text(encoding="utf-8"), path.stem, str(path))
    except OSError as error:
        raise InvalidError(
            f"The experiment {path} cannot be read ({error.strerror}): name a file, or one that 'raylog lab list' shows."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"{path} is not a text in UTF-8, and so no YAML: save it as one.") from error


def parse(text: str, name: str, file: str) -> Experiment:
    """``file`` is what errors call it. Raises InvalidError."""
    try:
        top = Table(yaml.safe_load(text), file)
    except yaml.YAMLError as error:
        raise InvalidError(f"{file} is not valid YAML: {_yaml_problem(error)}.") from error
    cluster = _cluster(top)
    topics = tuple(_topics(table, cluster) for table in top.tables("topics", least=1))
    seconds = top.number("seconds", above=True)
    experiment = Experiment(
        name=name,
        title=top.text("title", name),
        about=" ".join(top.text("about", "").split()),
        seconds=seconds,
        seed=top.whole("seed", 1),
        cluster=cluster,
        topics=topics,
        loads=tuple(_load(table, topics, seconds) for table in top.tables("load", least=1)),
        events=_events(top, cluster, seconds),
        source=text,
    )
    top.finish()
    _refuse_same_names(file, [name for one in topics for name in one.names])
    return experiment


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem or error.context} in line {error.problem_mark.line + 1}"
    return " ".join(str(error).split())


def _refuse_same_names(file: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidError(f"{file}: there are two topics '{name}': give one of them another name.")
        seen.add(name)


def _cluster(top: Table) -> LocalCluster | RunningCluster:
    table = top.table("cluster")
    kind = table.choice("kind", ("local", "running"), "local")
    made = _local(table) if kind == "local" else _running(table)
    table.finish()
    return made


def _local(table: Table) -> LocalCluster:
    further = table.whole("autoscaled", 0)
    count = table.whole("nodes", 1 if further else 2, least=1)
    if count + further > _NODES_MAX:
        raise table.wrong("nodes", f"at most {_NODES_MAX}, as all are on this machine")
    if further and count > 1:
        raise table.wrong("nodes", "1, as Ray's autoscaler starts all others ('cluster.autoscaled')")
    limits = _limits(table.table("limits"))
    names = tuple(chr(ord(HEAD) + number) for number in range(count + further))
    return LocalCluster(
        nodes=names[:count],
        autoscaled=names[count:],
        latency=table.choice("latency", ("none", *LATENCY_MODELS), "none").removeprefix("none"),
        options={key: table.whole(key) for key in ("leaders", "gateways", "spares") if key in table},
        broker=table.settings("broker"),
        limits=limits,
    )


def _limits(table: Table) -> dict[str, dict[str, float]]:
    limits = {group: _numbers(table.table(group)) for group in table.keys()}  # noqa: SIM118  (not a mapping)
    try:
        Limits.from_mapping(limits)
    except InvalidError as error:
        raise InvalidError(f"{table.file}: 'cluster.limits' is wrong. {error}") from error
    return limits


def _numbers(table: Table) -> dict[str, float]:
    return {key: _number_as_written(table.number(key)) for key in table.keys()}  # noqa: SIM118  (not a mapping)


def _number_as_written(value: float) -> float:
    return int(value) if value.is_integer() else value


def _running(table: Table) -> RunningCluster:
    bootstrap = table.text("bootstrap", "127.0.0.1:9092")
    for one in bootstrap.split(","):
        HostPort.parse(one)
    return RunningCluster(bootstrap=bootstrap, address=table.text("address", ""), metrics=table.texts("metrics"))


def _topics(table: Table, cluster: LocalCluster | RunningCluster) -> Topics:
    is_local = isinstance(cluster, LocalCluster)
    made = Topics(
        name=table.text("name"),
        count=table.whole("count", 1, least=1),
        partitions=table.whole("partitions", 1, least=1),
        wal=table.choice("wal", WAL_CLASSES, WAL_CLASSES[0]) if is_local else table.text("wal", ""),
        config=table.settings("config"),
    )
    table.finish()
    return made


def _load(table: Table, topics: Iterable[Topics], seconds: float) -> Load:
    shape = table.choice("shape", _SHAPES, "steady")
    made = Load(
        topics=table.choice("topic", [one.name for one in topics]),
        shape=_shape(table, shape, seconds),
        skew=table.number("skew", 1.0) if shape == "skewed" else 0.0,
        record_bytes=table.whole("record_bytes", 512, least=1),
        producers=table.whole("producers", 1, least=1),
        linger_ms=table.number("linger_ms", 5),
        members=table.whole("members", 1),
    )
    table.finish()
    return made


def _shape(table: Table, shape: str, seconds: float) -> Shape:
    rate = table.number("rate", above=True)
    if shape == "spike":
        return Spike(
            per_second=rate,
            peak=table.number("peak", above=True),
            from_s=table.number("from"),
            for_s=table.number("for", above=True),
        )
    if shape == "diurnal":
        return Diurnal(
            per_second=rate,
            peak=table.number("peak", above=True),
            period_s=table.number("period", seconds, above=True),
        )
    return Steady(per_second=rate)


def _events(top: Table, cluster: LocalCluster | RunningCluster, seconds: float) -> tuple[Event, ...]:
    """In the order of time, each of a node that is there then."""
    present = set(cluster.nodes) if isinstance(cluster, LocalCluster) else None
    events = []
    for table, event in sorted(((one, _event(one)) for one in top.tables("events", least=0)), key=_when):
        if event.at_s >= seconds:
            raise table.wrong("at", f"before the end of the load, below {seconds:g}")
        _refuse_what_is_out_of_reach(table, event, cluster)
        if present is not None and event.node:
            _follow(table, event, present)
        events.append(event)
    return tuple(events)


def _when(pair: tuple[Table, Event]) -> float:
    return pair[1].at_s


def _event(table: Table) -> Event:
    kind = Kind(table.choice("do", [kind.value for kind in Kind]))
    at_s = table.number("at")
    match kind:
        case Kind.ADD | Kind.DRAIN:
            made = Event(at_s=at_s, kind=kind, node=table.text("node"))
        case Kind.PREEMPT:
            made = Event(at_s=at_s, kind=kind, node=table.text("node"), notice_s=table.number("notice", 10))
        case Kind.KILL:
            role, node = _target(table)
            made = Event(at_s=at_s, kind=kind, role=role, node=node)
        case Kind.PAUSE:
            role, node = _target(table)
            made = Event(at_s=at_s, kind=kind, role=role, node=node, for_s=table.number("for", above=True))
        case Kind.SLOW_NODE:
            made = Event(
                at_s=at_s,
                kind=kind,
                node=table.text("node"),
                factor=table.number("factor", 4, least=1, above=True),
                for_s=table.number("for", above=True),
            )
        case Kind.SLOW_BUCKET:
            made = Event(
                at_s=at_s, kind=kind, extra_ms=table.number("ms", above=True), for_s=table.number("for", above=True)
            )
        case Kind.GCS_AWAY:
            made = Event(at_s=at_s, kind=kind, for_s=table.number("for", above=True))
    table.finish()
    return made


def _target(table: Table) -> tuple[str, str]:
    """A role or none, and a node; none only where there is a role, whose process may be anywhere then."""
    role = table.choice("role", _ROLES) if "role" in table else ""
    return role, table.text("node", "" if role else None)


def _refuse_what_is_out_of_reach(table: Table, event: Event, cluster: LocalCluster | RunningCluster) -> None:
    if isinstance(cluster, LocalCluster):
        if cluster.autoscaled and event.kind is Kind.ADD:
            raise table.wrong("do", "something else, as Ray's autoscaler adds the nodes ('cluster.autoscaled')")
        return
    if event.kind not in _BY_COMMAND:
        possible = ", ".join(kind.value for kind in _BY_COMMAND)
        raise table.wrong("do", f"something that can be asked of a running cluster ({possible})")
    if not cluster.address:
        raise table.wrong("do", "left out, or 'cluster.address' must say where the cluster's Ray is")


def _follow(table: Table, event: Event, present: set[str]) -> None:
    """Which nodes are there after it. Raises InvalidError."""
    if event.kind is Kind.ADD:
        if event.node in present:
            raise table.wrong("node", f"a new name, as {', '.join(sorted(present))} are there then")
        present.add(event.node)
        return
    if event.node not in present:
        raise table.wrong("node", f"one of those that are there then ({', '.join(sorted(present))})")
    if event.kind in _NODE_ENDS and not event.role:
        if event.node == HEAD:
            raise table.wrong("node", f"another than '{HEAD}', which has Ray's own GCS")
        present.discard(event.node)
