"""``raylog move``: partitions to another leader, by Kafka's AlterPartitionReassignments (KIP-455) with leaders named in place of
brokers (``LEADER_REPLICAS``)."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from raylog.cli.client import Cluster, no_topic
from raylog.cli.options import DEFAULT_BOOTSTRAP_SERVER, Bootstrap, Json, Properties, Timeout
from raylog.cli.output import note, print_json, print_table
from raylog.cli.requests import ask
from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError, RetryError
from raylog.model.ids import LEADER_REPLICAS

_ALTER, _LIST = 45, 46
_LOOKS_PER_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """A partition between two leaders."""

    topic: str
    partition: int
    from_leader: int
    to_leader: int


def move(
    targets: Annotated[list[str], typer.Argument(metavar="TOPIC[:PARTITION]...", help="What is to move.")],
    to: Annotated[int, typer.Option("--to", min=1, metavar="LEADER", help="The leader that is to lead it.")],
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 30,
    json: Json = False,
) -> None:
    """Have partitions led by another leader of their WAL class, and wait until they are.

    No data moves, and clients go on. 'raylog status' shows what is under way.
    """
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    partitions = _partitions(cluster, targets)
    _order(cluster, partitions, to)
    _wait(cluster, partitions)
    if json:
        print_json([{"topic": topic, "partition": number, "leader": to} for topic, number in partitions])
    else:
        print_table(("topic", "partition", "leader"), [(topic, number, to) for topic, number in partitions])


def moves_under_way(cluster: Cluster) -> list[Moving]:
    """Of the whole cluster; those of brokers' replicas (another Kafka's) are passed over. Raises RetryError."""
    from raylog.protocol.wire import ms

    answer = ask(cluster, _LIST, 0, timeout=ms(int(cluster.timeout_s * 1000)), topics=None)
    return [
        Moving(
            topic=topic.name,
            partition=part.partition_index,
            from_leader=part.removing_replicas[0] - LEADER_REPLICAS,
            to_leader=part.adding_replicas[0] - LEADER_REPLICAS,
        )
        for topic in answer.topics
        for part in topic.partitions
        if part.adding_replicas and part.removing_replicas and part.adding_replicas[0] >= LEADER_REPLICAS
    ]


def to_json(moving: list[Moving]) -> list[dict[str, object]]:
    return [asdict(one) for one in moving]


def _partitions(cluster: Cluster, targets: list[str]) -> list[tuple[str, int]]:
    topics = cluster.metadata(cluster.admin()).topics
    found: dict[tuple[str, int], None] = {}
    for target in targets:
        name, separator, number = target.partition(":")
        if name not in topics:
            raise no_topic(name)
        if separator and not (number.isdecimal() and int(number) in topics[name].partitions):
            raise InvalidError(
                f"Topic '{name}' has no partition '{number}': it has 0 to {len(topics[name].partitions) - 1}."
            )
        found |= dict.fromkeys((name, n) for n in ([int(number)] if separator else sorted(topics[name].partitions)))
    return list(found)


def _order(cluster: Cluster, partitions: list[tuple[str, int]], to: int) -> None:
    """Raises InvalidError with the first refusal."""
    from gateway.messages import request_types
    from raylog.protocol.wire import ms

    types: Any = request_types(_ALTER, 0)
    topics = tuple(
        types.ReassignableTopic(
            name=name,
            partitions=tuple(
                types.ReassignablePartition(partition_index=number, replicas=(LEADER_REPLICAS + to,))
                for topic, number in partitions
                if topic == name
            ),
        )
        for name in dict.fromkeys(topic for topic, _ in partitions)
    )
    answer = ask(cluster, _ALTER, 0, timeout=ms(int(cluster.timeout_s * 1000)), topics=topics)
    if answer.error_code:
        raise RetryError(f"Nothing moves: {answer.error_message or answer.error_code.name}")
    refused = [(topic.name, part) for topic in answer.responses for part in topic.partitions if part.error_code]
    for name, part in refused[:1]:
        others = f" (and {len(refused) - 1} more were refused)" if len(refused) > 1 else ""
        raise InvalidError(f"{name}:{part.partition_index} does not move{others}: {part.error_message}")


def _wait(cluster: Cluster, partitions: list[tuple[str, int]]) -> None:
    import threading

    clock = SystemClock()
    deadline_s = clock.monotonic() + cluster.timeout_s
    wanted = set(partitions)
    pause = threading.Event()
    while left := [one for one in moves_under_way(cluster) if (one.topic, one.partition) in wanted]:
        if clock.monotonic() > deadline_s:
            note("raylog: the move goes on without this command; 'raylog status' shows it.")
            raise RetryError(f"{len(left)} partitions were still moving after {cluster.timeout_s:g} s.")
        pause.wait(1 / _LOOKS_PER_S)
