"""The group APIs in every version that is announced, frame by frame: a member's whole life, offsets, and what tools see."""

import itertools
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from gateway.messages import make, request_types
from raylog.coordination import internal
from raylog.protocol.batch import Record, encode_batch
from raylog.protocol.wire import decode_response, encode_request, ms, ms64

RANGE_METADATA = b"\x00\x01\x00\x00\x00\x01\x00\x06orders\xff\xff\xff\xff"
VERSIONS = {
    internal.JOIN_GROUP: range(10),
    internal.SYNC_GROUP: range(6),
    internal.HEARTBEAT: range(5),
    internal.LEAVE_GROUP: range(6),
    internal.OFFSET_COMMIT: range(2, 11),
    internal.OFFSET_FETCH: range(1, 11),
    internal.OFFSET_DELETE: range(1),
    internal.LIST_GROUPS: range(6),
    internal.DESCRIBE_GROUPS: range(7),
    internal.DELETE_GROUPS: range(3),
}
PRODUCE, METADATA, FIND_COORDINATOR, API_VERSIONS = 0, 3, 10, 18


def each_version(api_key: int) -> Any:
    return pytest.mark.parametrize("version", VERSIONS[api_key])


class Connection:
    """A client that knows one version of everything, unless it is told another."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), 20)
        self._file = self._socket.makefile("rb")
        self._ids = itertools.count(1)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def send(self, api_key: int, version: int, name: str, /, **values: Any) -> None:
        request = make(getattr(request_types(api_key, version), f"{name}Request"), values)
        for buffer in encode_request(request, correlation_id=next(self._ids), client_id="tester"):
            self._socket.sendall(buffer)

    def receive(self, api_key: int, version: int) -> Any:
        size = int.from_bytes(self._file.read(4), "big")
        return decode_response(api_key, version, self._file.read(size))[1]

    def ask(self, api_key: int, version: int, name: str, /, **values: Any) -> Any:
        self.send(api_key, version, name, **values)
        return self.receive(api_key, version)

    def part(self, api_key: int, version: int, kind: str, /, **values: Any) -> Any:
        return make(getattr(request_types(api_key, version), kind), values)

    # Shorthands

    def join(self, group: str, member: str = "", version: int = 9, **values: Any) -> Any:
        protocol = self.part(
            internal.JOIN_GROUP, version, "JoinGroupRequestProtocol", name="range", metadata=RANGE_METADATA
        )
        return self.ask(
            internal.JOIN_GROUP,
            version,
            "JoinGroup",
            **{
                "group_id": group,
                "session_timeout": ms(20_000),
                "rebalance_timeout": ms(20_000),
                "member_id": member,
                "protocol_type": "consumer",
                "protocols": (protocol,),
                **values,
            },
        )

    def sync(self, group: str, member: str, generation: int, assignment: bytes, version: int = 5) -> Any:
        part = self.part(
            internal.SYNC_GROUP, version, "SyncGroupRequestAssignment", member_id=member, assignment=assignment
        )
        return self.ask(
            internal.SYNC_GROUP,
            version,
            "SyncGroup",
            group_id=group,
            generation_id=generation,
            member_id=member,
            protocol_type="consumer",
            protocol_name="range",
            assignments=(part,),
        )

    def enter(self, group: str) -> tuple[str, int]:
        """The only member of a stable group."""
        member = self.join(group).member_id
        generation = self.join(group, member).generation_id
        assert self.sync(group, member, generation, b"all").assignment == b"all"
        return member, generation

    def leave(self, group: str, member: str, version: int = 5) -> Any:
        if version < 3:
            return self.ask(internal.LEAVE_GROUP, version, "LeaveGroup", group_id=group, member_id=member)
        leaving = self.part(internal.LEAVE_GROUP, version, "MemberIdentity", member_id=member)
        return self.ask(internal.LEAVE_GROUP, version, "LeaveGroup", group_id=group, members=(leaving,))

    def commit(self, group: str, topic: "Topic", offset: int, version: int = 9, **values: Any) -> ErrorCode:
        key = internal.OFFSET_COMMIT
        part = self.part(
            key,
            version,
            "OffsetCommitRequestPartition",
            partition_index=values.pop("partition", 0),
            committed_offset=offset,
            committed_leader_epoch=0,
            committed_metadata="note",
        )
        asked = self.part(
            key, version, "OffsetCommitRequestTopic", name=topic.name, topic_id=topic.id, partitions=(part,)
        )
        defaults = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": "", "topics": (asked,)}
        response = self.ask(key, version, "OffsetCommit", **{**defaults, **values})
        (answered,) = response.topics
        assert (answered.topic_id if version >= 10 else answered.name) == (topic.id if version >= 10 else topic.name)
        return answered.partitions[0].error_code

    def fetch(self, group: str, topics: list["Topic"] | None, version: int = 9) -> tuple[ErrorCode, list[Any]]:
        key = internal.OFFSET_FETCH
        plural = "s" if version >= 8 else ""
        asked = topics and tuple(
            self.part(
                key,
                version,
                f"OffsetFetchRequestTopic{plural}",
                name=topic.name,
                topic_id=topic.id,
                partition_indexes=(0,),
            )
            for topic in topics
        )
        if version < 8:
            response = self.ask(key, version, "OffsetFetch", group_id=group, topics=asked)
            return getattr(response, "error_code", ErrorCode.none), list(response.topics)
        wanted = self.part(key, version, "OffsetFetchRequestGroup", group_id=group, topics=asked)
        (answered,) = self.ask(key, version, "OffsetFetch", groups=(wanted,), require_stable=True).groups
        assert answered.group_id == group
        return answered.error_code, list(answered.topics)


class Topic:
    def __init__(self, name: str, topic_id: uuid.UUID) -> None:
        self.name = name
        self.id = topic_id


def await_coordinators(connection: Connection) -> None:
    """Until every partition of ``__consumer_offsets`` is led."""
    keys = tuple(f"some-{number}" for number in range(50))
    while True:
        found = connection.ask(FIND_COORDINATOR, 4, "FindCoordinator", key_type=0, coordinator_keys=keys).coordinators
        errors = {coordinator.error_code for coordinator in found}
        if errors == {ErrorCode.none}:
            return
        assert errors <= {ErrorCode.none, ErrorCode.coordinator_not_available}


@pytest.fixture
def connection(shared_cluster: Any) -> Iterator[Connection]:
    connection = Connection(shared_cluster.bootstrap)
    await_coordinators(connection)
    yield connection
    connection.close()


@pytest.fixture
def topic(connection: Connection, new_topic: Callable[..., str]) -> Topic:
    name = new_topic(2)
    asked = connection.part(METADATA, 12, "MetadataRequestTopic", name=name, topic_id=None)
    response = connection.ask(
        METADATA,
        12,
        "Metadata",
        topics=(asked,),
        allow_auto_topic_creation=False,
        include_topic_authorized_operations=False,
    )
    return Topic(name, response.topics[0].topic_id)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


def test_these_are_the_versions_that_are_announced(connection: Connection) -> None:
    response = connection.ask(API_VERSIONS, 3, "ApiVersions", client_software_name="x", client_software_version="1")
    announced = {api.api_key: range(api.min_version, api.max_version + 1) for api in response.api_keys}
    assert {key: announced[key] for key in VERSIONS} == VERSIONS


@each_version(internal.JOIN_GROUP)
def test_join(connection: Connection, group: str, version: int) -> None:
    joined = connection.join(group, version=version)
    if version >= 4:
        assert joined.error_code is ErrorCode.member_id_required
        assert joined.generation_id == -1
        joined = connection.join(group, joined.member_id, version)
    assert joined.error_code is ErrorCode.none
    assert joined.member_id.startswith("tester-")
    assert (joined.generation_id, joined.leader, joined.protocol_name) == (1, joined.member_id, "range")
    assert getattr(joined, "protocol_type", "consumer") == "consumer"
    (member,) = joined.members
    assert (member.member_id, member.metadata) == (joined.member_id, RANGE_METADATA)
    refused = connection.join(group, "ghost", version)
    assert (refused.error_code, refused.member_id) == (ErrorCode.unknown_member_id, "ghost")
    assert connection.join("", version=version).error_code is ErrorCode.invalid_group_id


@pytest.mark.parametrize("version", range(5, 10))
def test_join_of_a_static_member(connection: Connection, group: str, version: int) -> None:
    joined = connection.join(group, version=version, group_instance_id="one")
    assert joined.error_code is ErrorCode.none
    assert joined.members[0].group_instance_id == "one"
    connection.sync(group, joined.member_id, joined.generation_id, b"a")
    again = connection.join(group, version=version, group_instance_id="one")
    assert (again.error_code, again.generation_id) == (ErrorCode.none, joined.generation_id)
    assert getattr(again, "skip_assignment", version == 9) == (version == 9)
    fenced = connection.join(group, joined.member_id, version, group_instance_id="one")
    assert fenced.error_code is ErrorCode.fenced_instance_id


@each_version(internal.SYNC_GROUP)
def test_sync(connection: Connection, group: str, version: int) -> None:
    member = connection.join(group).member_id
    generation = connection.join(group, member).generation_id
    synced = connection.sync(group, member, generation, b"all", version)
    assert (synced.error_code, synced.assignment) == (ErrorCode.none, b"all")
    assert getattr(synced, "protocol_name", "range") == "range"
    assert connection.sync(group, member, 7, b"", version).error_code is ErrorCode.illegal_generation
    assert connection.sync("", member, 7, b"", version).error_code is ErrorCode.invalid_group_id


@each_version(internal.HEARTBEAT)
def test_heartbeat(connection: Connection, group: str, version: int) -> None:
    member, generation = connection.enter(group)
    values = {"group_id": group, "generation_id": generation, "member_id": member}
    for changed, error in (
        ({}, ErrorCode.none),
        ({"generation_id": 9}, ErrorCode.illegal_generation),
        ({"member_id": "ghost"}, ErrorCode.unknown_member_id),
        ({"group_id": "nobody"}, ErrorCode.unknown_member_id),
        ({"group_id": ""}, ErrorCode.invalid_group_id),
    ):
        answer = connection.ask(internal.HEARTBEAT, version, "Heartbeat", **{**values, **changed})
        assert answer.error_code is error


@each_version(internal.LEAVE_GROUP)
def test_leave(connection: Connection, group: str, version: int) -> None:
    member, generation = connection.enter(group)
    for leaving, error in (("ghost", ErrorCode.unknown_member_id), (member, ErrorCode.none)):
        answer = connection.leave(group, leaving, version)
        assert (answer if version < 3 else answer.members[0]).error_code is error
        assert version < 3 or answer.error_code is ErrorCode.none
    values = {"group_id": group, "generation_id": generation, "member_id": member}
    assert connection.ask(internal.HEARTBEAT, 4, "Heartbeat", **values).error_code is ErrorCode.unknown_member_id
    assert connection.leave("", member, version).error_code is ErrorCode.invalid_group_id


@each_version(internal.OFFSET_COMMIT)
def test_commit(connection: Connection, group: str, topic: Topic, version: int) -> None:
    assert connection.commit(group, topic, 5, version) is ErrorCode.none
    assert connection.fetch(group, [topic])[1][0].partitions[0].committed_offset == 5
    missing = Topic("no-such-topic", uuid.uuid4())
    unknown = ErrorCode.unknown_topic_id if version >= 10 else ErrorCode.unknown_topic_or_partition
    assert connection.commit(group, missing, 5, version) is unknown
    assert connection.commit(group, topic, 5, version, partition=2) is ErrorCode.unknown_topic_or_partition
    ghost = {"generation_id_or_member_epoch": 3, "member_id": "ghost"}
    not_there = ErrorCode.group_id_not_found if version >= 9 else ErrorCode.illegal_generation
    assert connection.commit("nobody", topic, 5, version, **ghost) is not_there
    member, generation = connection.enter(group)
    assert connection.commit(group, topic, 6, version) is ErrorCode.unknown_member_id
    own = {"generation_id_or_member_epoch": generation, "member_id": member}
    assert connection.commit(group, topic, 6, version, **own) is ErrorCode.none


@pytest.mark.parametrize("version", range(2, 5))
def test_a_retention_of_the_clients_own(connection: Connection, group: str, topic: Topic, version: int) -> None:
    assert connection.commit(group, topic, 5, version, retention_time=ms64(3_600_000)) is ErrorCode.none
    assert connection.fetch(group, [topic])[1][0].partitions[0].committed_offset == 5


@each_version(internal.OFFSET_FETCH)
def test_fetch(connection: Connection, group: str, topic: Topic, new_topic: Callable[..., str], version: int) -> None:
    connection.commit(group, topic, 5)
    error, topics = connection.fetch(group, [topic], version)
    assert error is ErrorCode.none
    (found,) = topics
    assert (found.topic_id if version >= 10 else found.name) == (topic.id if version >= 10 else topic.name)
    (partition,) = found.partitions
    assert (partition.committed_offset, partition.metadata, partition.error_code) == (5, "note", ErrorCode.none)
    assert getattr(partition, "committed_leader_epoch", 0) == 0
    (never,) = connection.fetch(f"{group}-other", [topic], version)[1]
    assert (never.partitions[0].committed_offset, never.partitions[0].error_code) == (-1, ErrorCode.none)
    missing = Topic("no-such-topic", uuid.uuid4())
    (gone,) = connection.fetch(group, [missing], version)[1]
    assert gone.partitions[0].committed_offset == -1
    assert gone.partitions[0].error_code is (ErrorCode.unknown_topic_id if version >= 10 else ErrorCode.none)
    if version >= 2:
        (everything,) = connection.fetch(group, None, version)[1]
        assert everything.partitions[0].committed_offset == 5


def test_fetch_of_several_groups(connection: Connection, topic: Topic) -> None:
    groups = [f"several-{number}" for number in range(10)]
    for offset, name in enumerate(groups):
        connection.commit(name, topic, offset)
    key = internal.OFFSET_FETCH
    wanted = tuple(connection.part(key, 10, "OffsetFetchRequestGroup", group_id=name, topics=None) for name in groups)
    response = connection.ask(key, 10, "OffsetFetch", groups=wanted)
    assert [answered.group_id for answered in response.groups] == groups
    offsets = [answered.topics[0].partitions[0].committed_offset for answered in response.groups]
    assert offsets == list(range(10))


def test_delete_offsets(connection: Connection, group: str, topic: Topic) -> None:
    connection.commit(group, topic, 5)
    key = internal.OFFSET_DELETE
    part = connection.part(key, 0, "OffsetDeleteRequestPartition", partition_index=0)
    names = (topic.name, "no-such-topic")
    topics = tuple(connection.part(key, 0, "OffsetDeleteRequestTopic", name=name, partitions=(part,)) for name in names)
    response = connection.ask(key, 0, "OffsetDelete", group_id=group, topics=topics)
    assert response.error_code is ErrorCode.none
    errors = {answered.name: answered.partitions[0].error_code for answered in response.topics}
    assert errors == {topic.name: ErrorCode.none, "no-such-topic": ErrorCode.unknown_topic_or_partition}
    assert connection.fetch(group, [topic])[1][0].partitions[0].committed_offset == -1
    response = connection.ask(key, 0, "OffsetDelete", group_id="nobody", topics=topics)
    assert response.error_code is ErrorCode.group_id_not_found


@each_version(internal.LIST_GROUPS)
def test_list(connection: Connection, shared_cluster: Any, group: str, topic: Topic, version: int) -> None:
    connection.enter(group)
    connection.commit(f"{group}-tool", topic, 1)
    listed = []
    for address in shared_cluster.addresses:
        each = Connection(address)
        response = each.ask(internal.LIST_GROUPS, version, "ListGroups", states_filter=(), types_filter=())
        assert response.error_code is ErrorCode.none
        listed += [found for found in response.groups if found.group_id.startswith(group)]
        each.close()
    found = {one.group_id: one for one in listed}
    assert len(found) == len(listed) == 2
    assert found[group].protocol_type == "consumer"
    assert getattr(found[group], "group_state", "Stable") == "Stable"
    assert getattr(found[group], "group_type", "classic") == "classic"
    assert found[f"{group}-tool"].protocol_type == ""


@each_version(internal.DESCRIBE_GROUPS)
def test_describe(connection: Connection, group: str, version: int) -> None:
    member, _ = connection.enter(group)
    response = connection.ask(
        internal.DESCRIBE_GROUPS,
        version,
        "DescribeGroups",
        groups=(group, "nobody"),
        include_authorized_operations=True,
    )
    described, nobody = response.groups
    assert (described.group_id, described.group_state, described.protocol_data) == (group, "Stable", "range")
    (found,) = described.members
    assert (found.member_id, found.client_id, found.client_host) == (member, "tester", "/127.0.0.1")
    assert (found.member_metadata, found.member_assignment) == (RANGE_METADATA, b"all")
    assert getattr(described, "authorized_operations", 3400) == 3400
    assert nobody.group_state == "Dead"
    assert nobody.error_code is (ErrorCode.group_id_not_found if version >= 6 else ErrorCode.none)


@each_version(internal.DELETE_GROUPS)
def test_delete(connection: Connection, group: str, topic: Topic, version: int) -> None:
    member, _ = connection.enter(group)
    connection.commit(f"{group}-tool", topic, 1)

    def delete(*names: str) -> dict[str, ErrorCode]:
        response = connection.ask(internal.DELETE_GROUPS, version, "DeleteGroups", groups_names=names)
        return {result.group_id: result.error_code for result in response.results}

    assert delete(group, f"{group}-tool", "nobody") == {
        group: ErrorCode.non_empty_group,
        f"{group}-tool": ErrorCode.none,
        "nobody": ErrorCode.group_id_not_found,
    }
    connection.leave(group, member)
    assert delete(group) == {group: ErrorCode.none}


def test_clients_do_not_write_to_the_coordinators_topic(connection: Connection) -> None:
    batch = encode_batch([Record(key=b"\x00\x01garbage", value=b"")])
    part = connection.part(PRODUCE, 9, "PartitionProduceData", index=0, records=batch)
    topic = connection.part(PRODUCE, 9, "TopicProduceData", name="__consumer_offsets", partition_data=(part,))
    response = connection.ask(PRODUCE, 9, "Produce", acks=-1, timeout=ms(5_000), topic_data=(topic,))
    error = response.responses[0].partition_responses[0].error_code
    assert error is ErrorCode.invalid_topic_exception


def test_commits_on_one_connection_keep_their_order(connection: Connection, group: str, topic: Topic) -> None:
    key = internal.OFFSET_COMMIT
    for offset in range(200):
        part = connection.part(
            key, 9, "OffsetCommitRequestPartition", partition_index=0, committed_offset=offset, committed_metadata=None
        )
        asked = connection.part(key, 9, "OffsetCommitRequestTopic", name=topic.name, partitions=(part,))
        connection.send(key, 9, "OffsetCommit", group_id=group, member_id="", topics=(asked,))
    for _ in range(200):
        assert connection.receive(key, 9).topics[0].partitions[0].error_code is ErrorCode.none
    assert connection.fetch(group, [topic])[1][0].partitions[0].committed_offset == 199


def wait_for(ask: Callable[[], ErrorCode]) -> ErrorCode:
    """Ask as clients do: again while the coordinator is on its way."""
    on_its_way = (
        ErrorCode.not_coordinator,
        ErrorCode.coordinator_not_available,
        ErrorCode.coordinator_load_in_progress,
        ErrorCode.rebalance_in_progress,
    )
    while (code := ask()) in on_its_way:
        pass
    return code


@pytest.mark.parametrize("ending", ["kill_leader", "restart_leader"])
def test_members_stay_when_their_coordinator_moves(cluster: Any, make_topic: Any, ending: str) -> None:
    name = make_topic(cluster)(1)
    connection = Connection(cluster.bootstrap)
    await_coordinators(connection)
    topic = Topic(name, uuid.uuid4())
    wait_for(lambda: connection.commit("tool", topic, 1))
    members = {f"group-{number}": connection.enter(f"group-{number}") for number in range(8)}
    for offset, (group_id, (member, generation)) in enumerate(members.items()):
        own = {"generation_id_or_member_epoch": generation, "member_id": member}
        assert connection.commit(group_id, topic, offset, **own) is ErrorCode.none
    for leader_id in cluster.leader_ids:
        getattr(cluster, ending)(leader_id)
    for offset, (group_id, (member, generation)) in enumerate(members.items()):
        values = {"group_id": group_id, "generation_id": generation, "member_id": member}
        code = wait_for(lambda values=values: connection.ask(internal.HEARTBEAT, 4, "Heartbeat", **values).error_code)
        assert code is ErrorCode.none
        assert wait_for(lambda group_id=group_id: connection.fetch(group_id, [topic])[0]) is ErrorCode.none
        assert connection.fetch(group_id, [topic])[1][0].partitions[0].committed_offset == offset
        assert connection.sync(group_id, member, generation, b"").assignment == b"all"
    connection.close()
