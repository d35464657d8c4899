"""``raylog balance``: what leaders have to do, what would move, and why; by Kafka's DescribeConfigs and ElectLeaders."""

import json as json_text
from typing import Annotated, Any

import typer

from raylog.cli.balance_text import reason, shortage, verdict, why_here
from raylog.cli.client import Cluster
from raylog.cli.options import DEFAULT_BOOTSTRAP_SERVER, Bootstrap, Json, Properties, Timeout
from raylog.cli.output import note, print_json, print_table
from raylog.cli.requests import ask
from raylog.cli.size_text import size
from raylog.model.errors import InvalidError, RetryError

_DESCRIBE, _ELECT = 32, 43
_PREFERRED = 0
_INVALID_REQUEST = "invalid_request"


def balance(
    partition: Annotated[
        str | None, typer.Argument(metavar="[TOPIC:PARTITION]", help="With --explain: why is this one where it is?")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why of everything, moved or not.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would move: so without --now, too.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Move it now, and not at the controller's next look.")] = False,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 30,
    json: Json = False,
) -> None:
    """Show leaders' loads and what would move to level them.

    The controller looks by itself every leader.imbalance.check.interval.seconds, unless auto.leader.rebalance.enable is false.
    """
    if partition is not None and not explain:
        raise InvalidError(f"What of '{partition}'? Add --explain to hear why it is where it is.")
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    seen = look(cluster, partition or "")
    if now and not dry_run:
        seen["moved"] = _move(cluster)
    if json:
        print_json(seen)
    elif partition is not None:
        print(why_here(seen))
    else:
        _print(seen, explain=explain, moved=seen.get("moved"))


def look(cluster: Cluster, partition: str = "") -> dict[str, Any]:
    """What the controller sees and would do; of a partition (``topic:number``) also why it is where it is. Raises RetryError, and
    InvalidError when there is no such partition or the cluster is not Raylog's."""
    from gateway.messages import request_types
    from raylog.model.admin import BALANCE_RESOURCE
    from raylog.protocol.wire import i8

    types: Any = request_types(_DESCRIBE, 4)
    resource = types.DescribeConfigsResource(
        resource_type=i8(BALANCE_RESOURCE), resource_name=partition, configuration_keys=None
    )
    answer = ask(cluster, _DESCRIBE, 4, resources=(resource,), include_synonyms=False, include_documentation=False)
    [result] = answer.results
    if result.error_code.name == _INVALID_REQUEST:
        raise InvalidError("This cluster cannot tell of its balance: it is not Raylog, or of an earlier version.")
    if result.error_code.name == "request_timed_out":
        raise RetryError(f"The controller does not answer: {result.error_message} Try again in a moment.")
    if result.error_code:
        raise InvalidError(f"{result.error_message} 'raylog topics list' shows what there is.")
    seen: dict[str, Any] = json_text.loads(result.configs[0].value)
    return seen


def _move(cluster: Cluster) -> list[dict[str, object]]:
    from raylog.protocol.wire import ms

    answer = ask(
        cluster,
        _ELECT,
        2,
        election_type=_PREFERRED,
        topic_partitions=None,
        timeout=ms(int(cluster.timeout_s * 1000)),
    )
    if answer.error_code:
        raise RetryError(
            "The controller does not answer, and nothing was ordered that is known of. Try again in a moment."
        )
    return [
        {"topic": topic.topic, "partition": part.partition_id}
        for topic in answer.replica_election_results
        for part in topic.partition_result
    ]


def _print(seen: dict[str, Any], *, explain: bool, moved: list[dict[str, object]] | None) -> None:
    print_table(
        (
            "leader",
            "node",
            "wal",
            "state",
            "partitions",
            "in KiB/s",
            "out KiB/s",
            "requests/s",
            "use %",
            "cpu %",
            "MiB",
        ),
        [
            (
                row["leader"],
                row["node"],
                ",".join(row["wal"]) + (" (dedicated)" if row["dedicated"] else ""),
                row["standing"] if row["measured"] else f"{row['standing']}, not measured",
                row["partitions"],
                _shared(row["bytes_in"], 1024),
                _shared(row["bytes_out"], 1024),
                None if row["requests"] is None else round(row["requests"]),
                round(100 * row["use"]),
                None if row["cpu"] is None else round(100 * row["cpu"]),
                _shared(row["memory"], 1 << 20),
            )
            for row in seen["leaders"]
        ],
        empty="There are no leaders yet: they come with the first topic.",
    )
    if moved is None:
        _print_moves(seen)
    else:
        print(f"{len(moved)} partitions are on their way. 'raylog status' shows those that have not arrived.")
    if explain or not seen["moves"]:
        for pool in seen["pools"]:
            print(verdict(pool, seen))
    for short in seen["shortages"]:
        print(shortage(short))
    if explain or seen["size"] is not None:
        print(size(seen["size"]))
    if not seen["enabled"]:
        note("raylog: nothing moves by itself, as auto.leader.rebalance.enable is false; --now moves it.")


def _print_moves(seen: dict[str, Any]) -> None:
    print_table(
        ("would move", "from leader", "to leader", "load KiB/s", "why"),
        [
            (
                f"{row['topic']}:{row['partition']}",
                row["from"],
                row["to"],
                _shared(row["load"], 1024),
                reason(row, seen),
            )
            for row in seen["moves"]
        ],
        empty="Nothing would move.",
    )


def _shared(value: int | None, unit: int) -> int | None:
    return None if value is None else round(value / unit)
