"""deploy/kuberay: each object as its schema wants it, KubeRay's own rules beyond it, and that the objects fit together."""

import copy
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from raylog.model.config import ClusterConfig
from raylog.storage.wal_class import parse_wal_class
from tests.deploy import commands
from tests.deploy.manifests import DEPLOY, Document, built, problems, walk

_VARIANTS = ("base", "ebs", "efs")


@pytest.fixture(params=_VARIANTS)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    return built(DEPLOY / "kuberay" / request.param)


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def groups(documents: list[Document]) -> list[dict[str, Any]]:
    """Head first, as KubeRay makes pods of them: with their groups' names and labels."""
    (cluster,) = of_kind(documents, "RayCluster")
    spec = cluster["spec"]
    return [{**spec["headGroupSpec"], "groupName": "headgroup"}, *spec["workerGroupSpecs"]]


def pod_labels(group: dict[str, Any]) -> dict[str, str]:
    own = {"ray.io/cluster": "raylog", "ray.io/group": group["groupName"]}
    return {**group["template"]["metadata"]["labels"], **group.get("labels", {}), **own}


def containers(documents: list[Document]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in groups(documents):
        for container in group["template"]["spec"]["containers"]:
            yield group, container


def is_selected(labels: dict[str, str], selector: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_every_object_is_as_its_schema_wants_it(documents: list[Document]) -> None:
    assert {document["kind"]: problems(document) for document in documents if problems(document)} == {}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayCluster", ("spec", "headGroupSpec", "template", "spec", "containers", 0, "imagePullpolicy"), "Always"),
        ("RayCluster", ("spec", "workerGroupSpecs", 0, "minReplicas"), "1"),
        ("RayCluster", ("spec", "gcsFaultToleranceOptions", "redisSecret"), "raylog-redis"),
        ("RayCluster", ("metadata", "label"), {}),
        ("ServiceMonitor", ("spec", "endpoints", 0, "intervall"), "15s"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), "15 s"),
        ("Service", ("spec", "ports", 0, "port"), "kafka"),
        ("Service", ("spec", "portz"), []),
        ("PodDisruptionBudget", ("spec", "selector", "matchLabel"), {}),
        ("NetworkPolicy", ("spec", "ingress", 0, "port"), 9092),
    ],
)
def test_the_schemas_refuse_what_kubernetes_would_pass_over(kind: str, path: tuple[Any, ...], value: object) -> None:
    document = copy.deepcopy(of_kind(built(DEPLOY / "kuberay" / "base"), kind)[0])
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert problems(document)


def test_a_ray_cluster_keeps_kuberays_own_rules(documents: list[Document]) -> None:
    """What its operator refuses although the schema lets it pass (ray-operator/controllers/ray/utils/validation.go, 1.5.0)."""
    (cluster,) = of_kind(documents, "RayCluster")
    assert len(cluster["metadata"]["name"]) <= 63
    names = [group["groupName"] for group in groups(documents)]
    assert len(set(names)) == len(names)
    for group in groups(documents):
        start = group["rayStartParams"]
        assert "labels" not in start, "node labels have a field of their own"
        assert not (group.get("resources") and start.keys() & {"num-cpus", "num-gpus", "memory", "resources"})
        assert all(isinstance(value, str) for value in start.values())
        assert group["template"]["spec"].get("restartPolicy", "Never") == "Never", (
            "autoscaler v2 starts pods anew itself"
        )
        assert group.get("minReplicas", 0) <= group.get("replicas", 0) <= group.get("maxReplicas", 0)
        environment = {
            variable["name"] for c in group["template"]["spec"]["containers"] for variable in c.get("env", ())
        }
        assert not environment & {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS", "REDIS_USERNAME", "RAY_enable_autoscaler_v2"}
    assert not groups(documents)[0]["rayStartParams"].keys() & {"redis-password", "redis-username"}


def test_what_an_object_names_is_there(documents: list[Document]) -> None:
    there = {(document["kind"], document["metadata"]["name"]) for document in documents}
    for group in groups(documents):
        spec = group["template"]["spec"]
        assert ("ServiceAccount", spec["serviceAccountName"]) in there
        volumes = {volume["name"] for volume in spec.get("volumes", ())}
        for volume in spec.get("volumes", ()):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in there
        for container in spec["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
    for claim in of_kind(documents, "PersistentVolumeClaim"):
        named = claim["spec"]["storageClassName"]
        assert ("StorageClass", named) in there or ("PersistentVolume", claim["spec"].get("volumeName")) in there


def test_services_and_budgets_select_pods_that_have_the_port(documents: list[Document]) -> None:
    for service in of_kind(documents, "Service"):
        selected = [group for group in groups(documents) if is_selected(pod_labels(group), service["spec"]["selector"])]
        assert selected, service["metadata"]["name"]
        for group in selected:
            ports = {port["name"] for port in group["template"]["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    (budget,) = of_kind(documents, "PodDisruptionBudget")
    covered = [is_selected(pod_labels(g), budget["spec"]["selector"]["matchLabels"]) for g in groups(documents)]
    assert covered == [False] + [True] * (len(covered) - 1), "every broker, and not the head"
    (policy,) = of_kind(documents, "NetworkPolicy")
    assert all(is_selected(pod_labels(g), policy["spec"]["podSelector"]["matchLabels"]) for g in groups(documents))


def test_prometheus_finds_every_pod(documents: list[Document]) -> None:
    (monitor,) = of_kind(documents, "ServiceMonitor")
    (service,) = [
        service
        for service in of_kind(documents, "Service")
        if is_selected(service["metadata"]["labels"], monitor["spec"]["selector"]["matchLabels"])
    ]
    assert {e["port"] for e in monitor["spec"]["endpoints"]} <= {p["name"] for p in service["spec"]["ports"]}
    assert all(is_selected(pod_labels(group), service["spec"]["selector"]) for group in groups(documents))


def test_the_configuration_is_raylogs_and_names_what_the_pods_have(documents: list[Document]) -> None:
    (config_map,) = of_kind(documents, "ConfigMap")
    values = tomllib.loads(config_map["data"]["raylog.toml"])
    config = ClusterConfig().with_values(values, "raylog.toml")
    ports = {p["containerPort"] for _, c in containers(documents) for p in c.get("ports", ())}
    assert {int(address.rpartition(":")[2]) for address in (config.listen, config.metrics)} == ports
    for name, url in config.wal.items():
        wal_class = parse_wal_class(name, url)
        having = [
            group
            for group in groups(documents)
            if (not wal_class.label or wal_class.label in group.get("labels", {}))
            and (not wal_class.resource or wal_class.resource in group.get("resources", {}))
        ]
        assert having, name
        for group in having if wal_class.mount else ():
            spec = group["template"]["spec"]
            (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["mountPath"] == str(wal_class.mount)]
            (volume,) = [v for v in spec["volumes"] if v["name"] == mount["name"]]
            assert "persistentVolumeClaim" in volume, "what is acknowledged must outlive the pod"
            if wal_class.label:
                assert group["maxReplicas"] == 1, "one pod per volume"


def test_pods_are_not_privileged_and_carry_no_secret(documents: list[Document]) -> None:
    assert not of_kind(documents, "Secret")
    for group, container in containers(documents):
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    (cluster,) = of_kind(documents, "RayCluster")
    assert cluster["spec"]["gcsFaultToleranceOptions"]["redisPassword"].keys() == {"valueFrom"}
    assert all(variable.keys() != {"name", "value"} for node in walk(documents) if isinstance(node, dict)
               for variable in node.get("env", ()))  # fmt: skip


def test_every_command_is_one_that_raylog_has(documents: list[Document]) -> None:
    texts = [text for _, c in containers(documents) for text in c.get("args", ())]
    texts += [c["lifecycle"]["preStop"]["exec"]["command"][-1] for _, c in containers(documents) if "lifecycle" in c]
    found = [words for text in texts for words in commands.commands_in_shell(text)]
    assert {words[0] for words in found} == {"start", "drain"}
    for words in found:
        commands.check(words)


def test_a_broker_is_drained_within_its_grace_and_by_its_own_name(documents: list[Document]) -> None:
    for group in groups(documents)[1:]:
        (container,) = group["template"]["spec"]["containers"]
        text = container["lifecycle"]["preStop"]["exec"]["command"][-1]
        ((_, node, _, timeout_s),) = commands.commands_in_shell(text)
        assert int(timeout_s) < group["template"]["spec"]["terminationGracePeriodSeconds"]
        assert node == group.get("labels", {}).get("raylog.io/node", "$POD_IP")
        assert node != "$POD_IP" or [variable["name"] for variable in container["env"]] == ["POD_IP"]


def test_every_zone_has_a_service_of_its_own() -> None:
    documents = built(DEPLOY / "kuberay" / "base")
    pools = {service["spec"]["selector"].get("ray.io/group") for service in of_kind(documents, "Service")}
    assert pools >= {group["groupName"] for group in groups(documents)[1:]}
