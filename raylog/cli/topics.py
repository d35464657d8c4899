"""``raylog topics``: list, create, describe, configure, enlarge and delete topics of any Kafka."""

from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.client import Cluster, no_topic
from raylog.cli.offsets import begin_and_end
from raylog.cli.options import (
    DEFAULT_BOOTSTRAP_SERVER,
    Bootstrap,
    Json,
    Properties,
    Timeout,
    Topic,
    Topics,
    Yes,
    confirm,
    pairs_of,
)
from raylog.cli.output import note, print_json, print_table
from raylog.model.errors import InvalidError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ConfigEntry

topics = typer.Typer(help="List, create, describe and delete topics.", no_args_is_help=True)


@topics.command("list")
def list_topics(
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Internal topics as well.")] = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """List the topics and their partition counts."""
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    found = cluster.metadata(cluster.admin()).topics
    rows = [
        (name, len(topic.partitions)) for name, topic in sorted(found.items()) if show_all or not name.startswith("__")
    ]
    if json:
        print_json([{"name": name, "partitions": count} for name, count in rows])
    else:
        print_table(
            ("topic", "partitions"), rows, empty="There are no topics yet: 'raylog topics create NAME' makes one."
        )


@topics.command()
def create(
    names: Topics,
    partitions: Annotated[
        int | None, typer.Option("--partitions", "-p", min=1, help="Partitions of each. [default: the cluster's]")
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Copies; Raylog leaves those to the bucket. [default: the cluster's]")
    ] = None,
    config: Annotated[
        list[str] | None, typer.Option("--config", "-c", metavar="NAME=VALUE", help="A setting. Repeatable.")
    ] = None,
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="Succeed when it is there already.")] = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 30,
    json: Json = False,
) -> None:
    """Create topics."""
    settings = pairs_of(config, "--config")
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()

    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    with cluster.errors():
        wanted = [
            NewTopic(
                name,
                num_partitions=-1 if partitions is None else partitions,
                replication_factor=-1 if replication_factor is None else replication_factor,
                config=settings,
            )
            for name in names
        ]
        futures = admin.create_topics(wanted, operation_timeout=timeout, request_timeout=timeout)
    created = []
    for name, future in futures.items():
        try:
            future.result(timeout + 5)
            created.append(name)
        except KafkaException as error:
            if not if_not_exists or error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise cluster.sentence(error.args[0], f"Topic '{name}'") from error
    if json:
        print_json([{"name": name, "created": name in created} for name in names])
    else:
        for name in names:
            note(f"Created topic '{name}'." if name in created else f"Topic '{name}' was there already.")


@topics.command()
def describe(
    names: Topics,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """Show topics' ids, settings, and partitions with their leaders and offsets."""
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()
    described = [_description(cluster, admin, name) for name in names]
    if json:
        print_json(described)
        return
    for topic in described:
        overrides = topic["configs"]
        assert isinstance(overrides, dict)
        shown = ", ".join(f"{key}={value}" for key, value in sorted(overrides.items())) or "all settings as by default"
        rows = topic["partitions"]
        assert isinstance(rows, list)
        print_table(
            ("partition", "leader", "first offset", "end offset", "records"),
            [(row["partition"], row["leader"], row["begin"], row["end"], row["records"]) for row in rows],
            title=f"{topic['name']}  (id {topic['id']}; {shown})",
        )


def _description(cluster: Cluster, admin: "AdminClient", name: str) -> dict[str, object]:
    from confluent_kafka import TopicCollection

    cluster.metadata(admin, name)
    with cluster.errors():
        future = admin.describe_topics(TopicCollection([name]), request_timeout=cluster.timeout_s)[name]
    topic = cluster.result(future, f"Topic '{name}'")
    led = [(name, partition.id) for partition in topic.partitions if partition.leader is not None]
    offsets = begin_and_end(cluster, admin, led)
    rows = []
    for partition in sorted(topic.partitions, key=lambda partition: int(partition.id)):
        begin, end = offsets.get((name, partition.id), (None, None))
        rows.append(
            {
                "partition": partition.id,
                "leader": None if partition.leader is None else partition.leader.id,
                "begin": begin,
                "end": end,
                "records": None if begin is None or end is None else end - begin,
            }
        )
    overrides = {
        entry.name: entry.value for entry in _config_entries(cluster, admin, name).values() if _is_override(entry)
    }
    return {
        "name": name,
        "id": None if topic.topic_id is None else str(topic.topic_id),
        "internal": bool(topic.is_internal),
        "configs": overrides,
        "partitions": rows,
    }


@topics.command()
def delete(
    names: Topics,
    yes: Yes = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 30,
    json: Json = False,
) -> None:
    """Delete topics with all their records."""
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()
    existing = cluster.metadata(admin).topics
    for name in names:
        if name not in existing:
            raise no_topic(name)
    shown = ", ".join(f"'{name}'" for name in names)
    confirm(f"Delete {'topic' if len(names) == 1 else 'topics'} {shown} with all records?", yes=yes)
    with cluster.errors():
        futures = admin.delete_topics(list(names), operation_timeout=timeout, request_timeout=timeout)
    for name, future in futures.items():
        cluster.result(future, f"Topic '{name}'")
    if json:
        print_json([{"name": name, "deleted": True} for name in names])
    else:
        note(f"Deleted {shown}.")


@topics.command()
def configs(
    name: Topic,
    changes: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Change a setting. Repeatable.")
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", "-u", metavar="NAME", help="Back to the default. Repeatable.")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Show defaults as well.")] = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """Show a topic's settings, after changing those that are named."""
    wanted = pairs_of(changes, "--set")
    both = sorted(wanted.keys() & set(unset or ()))
    if both:
        raise InvalidError(f"The setting '{both[0]}' is both set and unset: choose one.")
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()
    cluster.metadata(admin, name)
    if wanted or unset:
        _alter(cluster, admin, name, wanted, unset or [])
    entries = sorted(_config_entries(cluster, admin, name).values(), key=lambda entry: str(entry.name))
    shown = [entry for entry in entries if show_all or _is_override(entry)]
    if json:
        print_json([{"name": e.name, "value": e.value, "default": not _is_override(e)} for e in shown])
    else:
        print_table(
            ("setting", "value", "default"),
            [(entry.name, entry.value, not _is_override(entry)) for entry in shown],
            empty=f"All settings of '{name}' are the defaults; --all shows them.",
        )


@topics.command()
def partitions(
    name: Topic,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="The new, higher number of partitions.")],
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 30,
    json: Json = False,
) -> None:
    """Raise a topic's number of partitions. Keys move to other partitions by it."""
    from confluent_kafka.admin import NewPartitions

    cluster = Cluster.of(bootstrap_server, timeout, properties)
    admin = cluster.admin()
    now = len(cluster.metadata(admin, name).topics[name].partitions)
    if count <= now:
        raise InvalidError(
            f"The topic '{name}' has {now} partitions, and Kafka never takes any away: name a higher number than that."
        )
    with cluster.errors():
        future = admin.create_partitions([NewPartitions(name, count)], request_timeout=timeout)[name]
    cluster.result(future, f"Topic '{name}'")
    if json:
        print_json({"name": name, "partitions": count})
    else:
        note(f"The topic '{name}' has {count} partitions now.")


def _alter(cluster: Cluster, admin: "AdminClient", name: str, wanted: dict[str, str], unset: list[str]) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

    entries = [
        *(ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in wanted.items()),
        *(ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in unset),
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
    with cluster.errors():
        future = admin.incremental_alter_configs([resource], request_timeout=cluster.timeout_s)[resource]
    cluster.result(future, f"Topic '{name}'")


def _config_entries(cluster: Cluster, admin: "AdminClient", name: str) -> "dict[str, ConfigEntry]":
    from confluent_kafka.admin import ConfigResource

    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    with cluster.errors():
        future = admin.describe_configs([resource], request_timeout=cluster.timeout_s)[resource]
    return cluster.result(future, f"Topic '{name}'")


def _is_override(entry: "ConfigEntry") -> bool:
    from confluent_kafka.admin import ConfigSource

    # The client gives the enumeration's member or its number, depending on its version.
    return bool(getattr(entry.source, "value", entry.source) == ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
