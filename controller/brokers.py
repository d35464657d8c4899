"""Which brokers clients are sent to: a node's gateway pool is one broker, under an id that the node keeps for ever. Pure."""

from collections.abc import Collection

from controller.records import BrokerRegistered, BrokerRetired, Record
from controller.state import MetadataState
from raylog.model.routing import BrokerEndpoint


def register_broker(
    state: MetadataState, *, node_id: str, host: str, port: int, rack: str | None
) -> tuple[BrokerEndpoint, tuple[Record, ...]]:
    """The node's broker, and the records that make it so; none if it is so already."""
    known = state.brokers.get(node_id)
    broker_id = known.endpoint.broker_id if known else state.next_broker_id()
    endpoint = BrokerEndpoint(broker_id=broker_id, host=host, port=port, rack=rack, node_id=node_id)
    if known is not None and not known.retired and known.endpoint == endpoint:
        return endpoint, ()
    # An address leads to one node: whoever had it before has come back under another name, or is gone.
    former = (
        BrokerRetired(node_id=other)
        for other, broker in state.brokers.items()
        if other != node_id and not broker.retired and (broker.endpoint.host, broker.endpoint.port) == (host, port)
    )
    registered = BrokerRegistered(node_id=node_id, broker_id=broker_id, host=host, port=port, rack=rack)
    return endpoint, (*former, registered)


def shown_brokers(state: MetadataState) -> list[BrokerEndpoint]:
    """Those that clients are sent to, by id: all that are not retired, and of these none on a node that drains, if there are
    others."""
    live = {node_id: broker.endpoint for node_id, broker in state.brokers.items() if not broker.retired}
    staying = [endpoint for node_id, endpoint in live.items() if node_id not in state.draining]
    return sorted(staying or live.values(), key=lambda broker: broker.broker_id)


def retire_brokers_except(state: MetadataState, live_nodes: Collection[str]) -> tuple[Record, ...]:
    """Send clients no more to any other node."""
    return tuple(
        BrokerRetired(node_id=node_id)
        for node_id, broker in state.brokers.items()
        if not broker.retired and node_id not in live_nodes
    )
