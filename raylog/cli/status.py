"""``raylog status``: a cluster at a glance, by plain Kafka requests, so of any Kafka."""

from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.client import Cluster
from raylog.cli.move import moves_under_way, to_json
from raylog.cli.nodes import show_nodes
from raylog.cli.offsets import begin_and_end
from raylog.cli.options import DEFAULT_BOOTSTRAP_SERVER, Bootstrap, Json, Properties, Timeout
from raylog.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient


def status(
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Internal topics as well.")] = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="Show the nodes and leaders of the Raylog on this Ray cluster ('auto': this node's) instead."
        ),
    ] = None,
) -> None:
    """Show the cluster's brokers, topics, records and consumer groups.

    Exits with 1 when a partition has no leader.
    """
    if address is not None:
        show_nodes(address, json=json)
        return
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    seen = _look(cluster, cluster.admin(), show_all=show_all)
    if json:
        print_json(seen)
    else:
        _print(seen)
    if seen["leaderless"]:
        raise typer.Exit(1)


def _look(cluster: Cluster, admin: "AdminClient", *, show_all: bool) -> dict[str, object]:
    described = cluster.result(admin.describe_cluster(request_timeout=cluster.timeout_s))
    metadata = cluster.metadata(admin)
    names = sorted(name for name in metadata.topics if show_all or not name.startswith("__"))
    led = [
        (name, number)
        for name in names
        for number, partition in metadata.topics[name].partitions.items()
        if partition.leader >= 0
    ]
    offsets = begin_and_end(cluster, admin, led)
    groups = cluster.result(admin.list_consumer_groups(request_timeout=cluster.timeout_s))
    topics = []
    for name in names:
        numbers = metadata.topics[name].partitions
        bounds = [offsets[name, number] for number in numbers if (name, number) in offsets]
        topics.append(
            {
                "name": name,
                "partitions": len(numbers),
                "records": sum(end - begin for begin, end in bounds),
                "appended": sum(end for _, end in bounds),
                "leaderless": len(numbers) - len(bounds),
            }
        )
    return {
        "cluster": described.cluster_id,
        "controller": None if described.controller is None else described.controller.id,
        "brokers": [
            {"id": node.id, "address": f"{node.host}:{node.port}", "rack": node.rack}
            for node in sorted(described.nodes, key=lambda node: int(node.id))
        ],
        "topics": topics,
        "groups": [
            {"group": group.group_id, "state": group.state.name.lower()}
            for group in sorted(groups.valid, key=lambda group: str(group.group_id))
        ],
        "moving": to_json(moves_under_way(cluster)),
        "leaderless": sum(len(metadata.topics[name].partitions) for name in names) - len(offsets),
    }


def _print(seen: dict[str, object]) -> None:
    brokers, topics, groups, moving = seen["brokers"], seen["topics"], seen["groups"], seen["moving"]
    assert isinstance(brokers, list)
    assert isinstance(topics, list)
    assert isinstance(groups, list)
    assert isinstance(moving, list)
    print_table(
        ("broker", "address", "rack", "controller"),
        [(row["id"], row["address"], row["rack"], row["id"] == seen["controller"]) for row in brokers],
        title=f"cluster {seen['cluster']}",
    )
    print_table(
        ("topic", "partitions", "records", "appended ever", "without leader"),
        [(row["name"], row["partitions"], row["records"], row["appended"], row["leaderless"]) for row in topics],
        empty="There are no topics yet: 'raylog topics create NAME' makes one.",
    )
    print_table(("group", "state"), [(row["group"], row["state"]) for row in groups], empty="There are no groups.")
    if moving:
        print_table(
            ("moving", "from leader", "to leader"),
            [(f"{row['topic']}:{row['partition']}", row["from_leader"], row["to_leader"]) for row in moving],
        )
    if seen["leaderless"]:
        note(
            f"raylog: {seen['leaderless']} partitions have no leader just now; see the cluster's logs if that stays so."
        )
