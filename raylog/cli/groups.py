"""``raylog groups``: list, describe, delete consumer groups and move their offsets, on any Kafka."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.client import Cluster, no_topic
from raylog.cli.offsets import Partition, begin_and_end, list_offsets
from raylog.cli.options import DEFAULT_BOOTSTRAP_SERVER, Bootstrap, Json, Properties, Timeout, Yes, confirm
from raylog.cli.output import note, print_json, print_table
from raylog.model.errors import InvalidError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

groups = typer.Typer(help="List, describe and delete consumer groups, and move their offsets.", no_args_is_help=True)

Group = Annotated[str, typer.Argument(metavar="GROUP", help="The group's id.")]
Groups = Annotated[list[str], typer.Argument(metavar="GROUP...", help="The groups' ids.")]


@groups.command("list")
def list_groups(
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """List the consumer groups and their states."""
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    rows = [(group.group_id, group.state.name.lower()) for group in _all_groups(cluster, cluster.admin())]
    if json:
        print_json([{"group": group, "state": state} for group, state in rows])
    else:
        print_table(("group", "state"), rows, empty="There are no consumer groups.")


@groups.command()
def describe(
    names: Groups,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """Show groups' members, and the committed offset and lag of each partition."""
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()
    described = [_description(cluster, admin, name) for name in names]
    if json:
        print_json(described)
        return
    for group in described:
        members, offsets = group["members"], group["offsets"]
        assert isinstance(members, list)
        assert isinstance(offsets, list)
        title = f"{group['group']}  ({group['state']}, coordinator {group['coordinator']})"
        print_table(
            ("member", "client", "host", "partitions"),
            [
                (member["id"], member["client"], member["host"], _shown_partitions(member["partitions"]))
                for member in members
            ],
            title=title,
            empty=f"{title}: no members",
        )
        print_table(
            ("topic", "partition", "committed", "end offset", "lag"),
            [(row["topic"], row["partition"], row["committed"], row["end"], row["lag"]) for row in offsets],
            empty=f"{group['group']}: no offsets committed",
        )


@groups.command()
def delete(
    names: Groups,
    yes: Yes = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """Delete groups without members, and their offsets."""
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()
    existing = {group.group_id for group in _all_groups(cluster, admin)}
    for name in names:
        if name not in existing:
            raise _no_group(name)
    shown = ", ".join(f"'{name}'" for name in names)
    confirm(f"Delete {'group' if len(names) == 1 else 'groups'} {shown} and the committed offsets?", yes=yes)
    with cluster.errors():
        futures = admin.delete_consumer_groups(list(names), request_timeout=timeout)
    for name, future in futures.items():
        cluster.result(future, f"Group '{name}'")
    if json:
        print_json([{"group": name, "deleted": True} for name in names])
    else:
        note(f"Deleted {shown}.")


@groups.command("reset-offsets")
def reset_offsets(
    name: Group,
    to: Annotated[
        str | None,
        typer.Option(metavar="WHERE", help="earliest, latest, an offset, or a time such as 2026-01-31T12:00:00+00:00."),
    ] = None,
    by: Annotated[int | None, typer.Option(help="Move from the committed offset by so many records.")] = None,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", "-t", metavar="TOPIC[:PARTITION]", help="Repeatable.")
    ] = None,
    all_topics: Annotated[bool, typer.Option("--all-topics", help="All that the group has offsets of.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """Move the committed offsets of a group without running consumers."""
    if (to is None) == (by is None):
        raise InvalidError(
            "Say where the offsets are to go: either --to earliest, latest, an offset or a time, or --by N."
        )
    if bool(topic) == all_topics:
        raise InvalidError("Say which offsets are to move: either --topic TOPIC, or --all-topics.")
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()
    committed = _committed(cluster, admin, name)
    places = sorted(committed) if all_topics else _places(cluster, admin, topic or [])
    if not places:
        raise InvalidError(f"The group '{name}' has no committed offsets: name topics with --topic.")
    targets = _targets(cluster, admin, places, committed, to, by)
    if not dry_run:
        _commit(cluster, admin, name, targets)
    rows = [(place[0], place[1], committed.get(place), targets[place]) for place in places]
    if json:
        print_json(
            [
                {"topic": row[0], "partition": row[1], "before": row[2], "after": row[3], "done": not dry_run}
                for row in rows
            ]
        )
    else:
        print_table(("topic", "partition", "before", "after"), rows, title="would move" if dry_run else "moved")


def _all_groups(cluster: Cluster, admin: "AdminClient") -> list["ConsumerGroupDescription"]:
    listed = cluster.result(admin.list_consumer_groups(request_timeout=cluster.timeout_s))
    if not listed.valid and listed.errors:
        error = listed.errors[0]
        raise cluster.sentence(error.args[0] if isinstance(error, Exception) else error)
    return sorted(listed.valid, key=lambda group: str(group.group_id))


def _no_group(name: str) -> InvalidError:
    return InvalidError(f"There is no consumer group '{name}': 'raylog groups list' shows those there are.")


def _description(cluster: Cluster, admin: "AdminClient", name: str) -> dict[str, object]:
    future = admin.describe_consumer_groups([name], request_timeout=cluster.timeout_s)[name]
    group = cluster.result(future, f"Group '{name}'")
    committed = _committed(cluster, admin, name)
    if group.state.name == "DEAD" and not committed:
        raise _no_group(name)
    known = cluster.metadata(admin).topics
    offsets = begin_and_end(cluster, admin, [place for place in committed if place[0] in known])
    return {
        "group": name,
        "state": group.state.name.lower(),
        "coordinator": None if group.coordinator is None else f"{group.coordinator.host}:{group.coordinator.port}",
        "assignor": group.partition_assignor or None,
        "members": [
            {
                "id": member.member_id,
                "instance": member.group_instance_id,
                "client": member.client_id,
                "host": member.host,
                "partitions": [
                    {"topic": place.topic, "partition": place.partition} for place in member.assignment.topic_partitions
                ],
            }
            for member in group.members
        ],
        "offsets": [
            {
                "topic": place[0],
                "partition": place[1],
                "committed": offset,
                "end": offsets[place][1] if place in offsets else None,
                "lag": max(0, offsets[place][1] - offset) if place in offsets else None,
            }
            for place, offset in sorted(committed.items())
        ],
    }


def _shown_partitions(places: list[dict[str, object]]) -> str:
    by_topic: dict[object, list[str]] = {}
    for place in places:
        by_topic.setdefault(place["topic"], []).append(str(place["partition"]))
    return " ".join(f"{topic}:{','.join(numbers)}" for topic, numbers in by_topic.items()) or "-"


def _committed(cluster: Cluster, admin: "AdminClient", name: str) -> dict[Partition, int]:
    from confluent_kafka import ConsumerGroupTopicPartitions

    with cluster.errors(f"Group '{name}'"):
        asked = [ConsumerGroupTopicPartitions(name)]
        future = admin.list_consumer_group_offsets(asked, request_timeout=cluster.timeout_s)[name]
    places = cluster.result(future, f"Group '{name}'").topic_partitions
    return {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}


def _places(cluster: Cluster, admin: "AdminClient", texts: list[str]) -> list[Partition]:
    known = cluster.metadata(admin).topics
    places: set[Partition] = set()
    for text in texts:
        topic, separator, number = text.partition(":")
        if topic not in known:
            raise no_topic(topic)
        numbers = set(known[topic].partitions)
        if not separator:
            places |= {(topic, found) for found in numbers}
        elif number.isdigit() and int(number) in numbers:
            places.add((topic, int(number)))
        else:
            raise InvalidError(f"The topic '{topic}' has no partition '{number}': it has 0 to {len(numbers) - 1}.")
    return sorted(places)


def _targets(
    cluster: Cluster,
    admin: "AdminClient",
    places: list[Partition],
    committed: dict[Partition, int],
    to: str | None,
    by: int | None,
) -> dict[Partition, int]:
    """Where each partition's offset goes, kept within what the partition holds."""
    from confluent_kafka.admin import OffsetSpec

    bounds = begin_and_end(cluster, admin, places)
    if by is not None:
        missing = [place for place in places if place not in committed]
        if missing:
            raise InvalidError(
                f"Nothing is committed for {missing[0][0]}-{missing[0][1]}, from where --by could move: use --to."
            )
        wanted = {place: committed[place] + by for place in places}
    elif to == "earliest":
        wanted = {place: bounds[place][0] for place in places}
    elif to == "latest":
        wanted = {place: bounds[place][1] for place in places}
    elif to is not None and to.isdigit():
        wanted = {place: int(to) for place in places}
    else:
        found = list_offsets(cluster, admin, places, OffsetSpec.for_timestamp(_milliseconds(to or "")))
        wanted = {place: found[place] if found[place] >= 0 else bounds[place][1] for place in places}
    return {place: min(max(wanted[place], bounds[place][0]), bounds[place][1]) for place in places}


def _milliseconds(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError as error:
        raise InvalidError(
            f"'{text}' is no place to move offsets to: write earliest, latest, an offset, or a time such as "
            "2026-01-31T12:00:00+00:00."
        ) from error


def _commit(cluster: Cluster, admin: "AdminClient", name: str, targets: dict[Partition, int]) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    places = [TopicPartition(topic, number, offset) for (topic, number), offset in targets.items()]
    with cluster.errors(f"Group '{name}'"):
        asked = [ConsumerGroupTopicPartitions(name, places)]
        future = admin.alter_consumer_group_offsets(asked, request_timeout=cluster.timeout_s)[name]
    for place in cluster.result(future, f"Group '{name}'").topic_partitions:
        if place.error is not None:
            raise cluster.sentence(place.error, f"Group '{name}', {place.topic}-{place.partition}")
