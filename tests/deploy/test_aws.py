"""cluster.yaml and deploy/aws: clusters as Ray's and EC2's own schemas want them, and the WAL volumes against moto's EC2."""

import importlib.util
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.stub import Stubber
from botocore.validate import ParamValidator
from moto import mock_aws

from raylog.storage.wal_class import parse_wal_class
from tests.deploy import commands
from tests.deploy.manifests import DEPLOY, REPOSITORY, load

_CLUSTERS = (REPOSITORY / "cluster.yaml", DEPLOY / "aws" / "cluster-ebs.yaml", DEPLOY / "aws" / "cluster-efs.yaml")
_ZONE = "us-east-1a"


@pytest.fixture(params=_CLUSTERS, ids=lambda path: path.name)
def cluster(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = load(request.param)
    return loaded


def test_ray_takes_the_cluster(cluster: dict[str, Any]) -> None:
    """As `ray up` does before it touches anything: defaults filled in, then Ray's schema, which refuses unknown fields."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))


def test_rays_schema_refuses_what_is_not_its(cluster: dict[str, Any]) -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster["available_node_types"]["head"]["node_confg"] = {}
    with pytest.raises(jsonschema.ValidationError, match="node_confg"):
        validate_config(prepare_config(cluster))


def ec2_problems(node_config: dict[str, Any]) -> str:
    """What EC2's API has against an instance's description. Ray puts in a subnet of SubnetIds, and the counts."""
    model = get_session().get_service_model("ec2")
    shape = model.operation_model("RunInstances").input_shape
    given = {key: value for key, value in node_config.items() if key != "SubnetIds"}
    report = ParamValidator().validate({**given, "MinCount": 1, "MaxCount": 1}, shape)
    unknown = given.keys() - shape.members.keys()
    return str(report.generate_report()) + " ".join(sorted(unknown))


def test_ec2_takes_every_node(cluster: dict[str, Any]) -> None:
    for name, node_type in cluster["available_node_types"].items():
        assert ec2_problems(node_type["node_config"]) == "", name
    assert ec2_problems({"InstanceTyp": "m7i.xlarge"})
    assert ec2_problems({"MetadataOptions": {"HttpTokens": True}})


def test_nodes_have_a_role_and_no_file_has_a_key(cluster: dict[str, Any]) -> None:
    for name, node_type in cluster["available_node_types"].items():
        profile = node_type["node_config"]["IamInstanceProfile"]["Name"]
        assert profile == ("raylog-head" if name == cluster["head_node_type"] else "raylog")
        assert node_type["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        volumes = node_type["node_config"]["BlockDeviceMappings"]
        assert all(volume["Ebs"]["Encrypted"] for volume in volumes)


def test_no_file_of_deploy_has_a_credential() -> None:
    looks_secret = re.compile(
        r"AKIA[0-9A-Z]{16}|-----BEGIN|(secret_access_key|password|token)\s*[=:]\s*['\"]?(?!/dev/stdin|valueFrom)[\w/+-]{8,}",
        re.I,
    )
    files = [*DEPLOY.rglob("*"), REPOSITORY / "cluster.yaml"]
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            assert not looks_secret.search(path.read_text(encoding="utf-8")), path


def test_every_command_is_one_that_raylog_has(cluster: dict[str, Any]) -> None:
    found = list(commands.commands_in_shell("\n".join(cluster["head_start_ray_commands"])))
    assert [words[0] for words in found] == ["start"]
    for words in found:
        commands.check(words)


def test_wal_classes_name_what_the_brokers_have(cluster: dict[str, Any]) -> None:
    (start,) = commands.commands_in_shell("\n".join(cluster["head_start_ray_commands"]))
    setup = "\n".join(cluster["setup_commands"] + cluster["worker_start_ray_commands"])
    for given in (words for option, words in itertools.pairwise(start) if option == "--wal"):
        name, _, url = given.partition("=")
        wal_class = parse_wal_class(name, url)
        assert str(wal_class.mount) in setup
        if wal_class.label:
            assert f"{wal_class.label}=" in cluster["worker_start_ray_commands"][-1]
        else:
            assert str(wal_class.mount) in "\n".join(cluster["head_start_ray_commands"]), "every node has the class"


def test_the_clusters_differ_in_their_wal_alone() -> None:
    def without_commands(cluster: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in cluster.items() if not key.endswith("commands")}

    first, *others = (without_commands(load(path)) for path in _CLUSTERS)
    assert others == [first, first]


@pytest.mark.parametrize("path", sorted((DEPLOY / "aws").glob("*-policy.json")), ids=lambda path: path.name)
def test_policies_allow_actions_that_aws_has_and_no_more_than_named(path: Path) -> None:
    session = get_session()
    for statement in json.loads(path.read_text(encoding="utf-8"))["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in actions:
            service, _, operation = action.partition(":")
            assert operation in _permissions(session, service), action


def _permissions(session: Any, service: str) -> set[str]:
    """The actions of a service: its API's operations, and those of S3 and IAM that have names of their own."""
    own = {"s3": {"ListBucket"}, "iam": {"PassRole"}}
    return set(session.get_service_model(service).operation_names) | own.get(service, set())


def test_the_lifecycle_rules_are_s3s() -> None:
    rules = json.loads((DEPLOY / "aws" / "lifecycle.json").read_text(encoding="utf-8"))
    shape = get_session().get_service_model("s3").operation_model("PutBucketLifecycleConfiguration").input_shape
    report = ParamValidator().validate({"Bucket": "b", "LifecycleConfiguration": rules}, shape)
    assert report.generate_report() == ""


@pytest.fixture(scope="module")
def wal_volume() -> Any:
    spec = importlib.util.spec_from_file_location("wal_volume", DEPLOY / "aws" / "wal_volume.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("ec2", region_name="us-east-1")


def instances(ec2: Any, count: int) -> list[str]:
    (image, *_) = ec2.describe_images()["Images"]
    placement = {"AvailabilityZone": _ZONE}
    made = ec2.run_instances(ImageId=image["ImageId"], MinCount=count, MaxCount=count, Placement=placement)
    return [instance["InstanceId"] for instance in made["Instances"]]


def volume(ec2: Any, cluster: str = "raylog", zone: str = _ZONE) -> str:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "raylog-wal", "Value": cluster}]}]
    return str(ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=tags)["VolumeId"])


def test_each_instance_takes_a_volume_of_its_own_and_keeps_it(ec2: Any, wal_volume: Any) -> None:
    volume(ec2, cluster="another")
    volume(ec2, zone="us-east-1b")
    wanted = {volume(ec2) for _ in range(2)}
    one, other, third = instances(ec2, 3)
    taken = {instance: wal_volume.take_volume(ec2, "raylog", instance, _ZONE) for instance in (one, other)}
    assert set(taken.values()) == wanted
    assert wal_volume.take_volume(ec2, "raylog", one, _ZONE) == taken[one]
    with pytest.raises(SystemExit, match="No volume with the tag raylog-wal=raylog is free in us-east-1a"):
        wal_volume.take_volume(ec2, "raylog", third, _ZONE)
    ec2.detach_volume(VolumeId=taken[one], InstanceId=one)
    assert wal_volume.take_volume(ec2, "raylog", third, _ZONE) == taken[one]


def test_who_is_too_late_for_a_volume_takes_the_next(wal_volume: Any) -> None:
    """moto lets two instances have one volume, so EC2's answers are told here."""
    ec2 = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    free = [{"VolumeId": name, "State": "available", "Attachments": []} for name in ("vol-1", "vol-2")]
    with Stubber(ec2) as answers:
        answers.add_response("describe_volumes", {"Volumes": free})
        answers.add_client_error("attach_volume", "VolumeInUse")
        answers.add_response("attach_volume", {"VolumeId": "vol-2", "State": "attaching"})
        answers.add_response("describe_volumes", {"Volumes": [{"VolumeId": "vol-2", "State": "in-use"}]})
        assert wal_volume.take_volume(ec2, "raylog", "i-1", _ZONE) == "vol-2"
        answers.assert_no_pending_responses()


def test_a_volume_that_may_not_be_attached_is_an_error(wal_volume: Any) -> None:
    ec2 = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    with Stubber(ec2) as answers:
        found = {"VolumeId": "vol-1", "State": "available", "Attachments": []}
        answers.add_response("describe_volumes", {"Volumes": [found]})
        answers.add_client_error("attach_volume", "UnauthorizedOperation")
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            wal_volume.take_volume(ec2, "raylog", "i-1", _ZONE)
