"""What ``raylog status --address`` shows: the nodes of a Ray cluster that Raylog runs on, and where its leaders are."""

from dataclasses import asdict
from typing import Any

from raylog.cli.deployment import joined
from raylog.cli.output import print_json, print_table
from raylog.cli.size_text import size

_ZONE_COLUMNS = ("link", "zone", "peer_zone", "crosses", "sent_bytes", "received_bytes")


def show_nodes(address: str, *, json: bool) -> None:
    """Raises NotFoundError when Raylog does not run there."""
    with joined(address) as cluster:
        seen = cluster.status()
        zones = cluster.zone_bytes()
    seen["zone_bytes"] = [{**asdict(row), "crosses": row.crosses} for row in zones]
    if json:
        print_json(seen)
        return
    brokers = {broker["node"]: broker for broker in seen["brokers"]}
    print_table(
        ("node", "broker", "clients connect to", "zone", "leaders", "state"),
        [_node(node, brokers.get(node["node"]), seen["leaders"]) for node in seen["nodes"]],
        title=f"cluster {seen['cluster_id']}",
    )
    print_table(
        ("leader", "wal", "node", "partitions", "state"),
        [(row["leader_id"], row["wal"], row["node"], row["partitions"], _state(row)) for row in seen["leaders"]],
        empty="There are no leaders yet.",
    )
    print(size(seen["size"]))
    if seen["zone_bytes"]:
        print_table(
            ("link", "gateways' zone", "other end's zone", "crosses", "bytes sent", "bytes received"),
            [tuple(row[name] for name in _ZONE_COLUMNS) for row in seen["zone_bytes"]],
        )


def _node(node: dict[str, Any], broker: dict[str, Any] | None, leaders: list[dict[str, Any]]) -> tuple[object, ...]:
    here = sum(leader["node"] == node["node"] and leader["needed"] for leader in leaders)
    state = _drain(node["drain"]) if node["drain"] else "serves" if broker else "starting"
    shown = (broker["broker_id"], broker["address"]) if broker else (None, None)
    return (node["node"], *shown, node["zone"], here, state)


def _drain(drain: dict[str, Any]) -> str:
    return "drained" if drain["is_over"] else f"draining: {drain['partitions']} partitions left"


def _state(leader: dict[str, Any]) -> str:
    if not leader["needed"]:
        return "leads nothing"
    if leader["waits_for_node"]:
        return f"waits for a node with '{leader['mount'] or leader['wal']}'"
    if leader["rests"]:
        return "rests until somebody asks for it"
    return "up" if leader["up"] else "starting"
