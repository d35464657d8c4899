"""Fetch the schemas that Kubernetes and its operators hold our manifests to, through Go's module proxy: ``make schemas``.

What is kept in ``schemas/`` is theirs (Apache-2.0, see its README.md): the JSON schema of each kind that ``deploy/`` uses,
without descriptions. It is checked in, so that tests need neither Go nor a network. To follow a newer version, change it here.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).parent / "schemas"

_CRDS = {
    "raycluster.json": (
        "github.com/ray-project/kuberay/ray-operator@v1.5.0",
        "config/crd/bases/ray.io_rayclusters.yaml",
        "v1",
    ),
    "servicemonitor.json": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "v1",
    ),
}
_KUBERNETES = "k8s.io/kubernetes@v1.34.4"
_KUBERNETES_FILE = "api/openapi-spec/swagger.json"
_KINDS = (
    "io.k8s.api.core.v1.ConfigMap",
    "io.k8s.api.core.v1.PersistentVolume",
    "io.k8s.api.core.v1.PersistentVolumeClaim",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.ServiceAccount",
    "io.k8s.api.networking.v1.NetworkPolicy",
    "io.k8s.api.policy.v1.PodDisruptionBudget",
    "io.k8s.api.storage.v1.StorageClass",
)
_REFERENCE = re.compile(r'"#/definitions/([^"]+)"')


def module_folder(module: str) -> Path:
    """A Go module's sources, downloaded unless they are there."""
    done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, check=True, text=True)
    return Path(json.loads(done.stdout)["Dir"])


def without_descriptions(schema: Any, *, is_names: bool = False) -> Any:
    """``is_names``: the keys are names of fields, of which one may be called 'description'."""
    if isinstance(schema, dict):
        return {
            key: without_descriptions(value, is_names=key == "properties" and not is_names)
            for key, value in schema.items()
            if is_names or key != "description"
        }
    if isinstance(schema, list):
        return [without_descriptions(item) for item in schema]
    return schema


def crd_schema(text: str, version: str) -> Any:
    versions = yaml.safe_load(text)["spec"]["versions"]
    return next(found["schema"]["openAPIV3Schema"] for found in versions if found["name"] == version)


def used_definitions(definitions: dict[str, Any]) -> dict[str, Any]:
    """The kinds that we use, and all that they refer to."""
    used: dict[str, Any] = {}
    waiting = list(_KINDS)
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting += _REFERENCE.findall(json.dumps(definitions[name]))
    return used


def write(name: str, schema: Any) -> None:
    text = json.dumps(without_descriptions(schema), sort_keys=True, separators=(",", ":"))
    (SCHEMAS / name).write_text(text + "\n", encoding="utf-8")


def main() -> int:
    for name, (module, path, version) in _CRDS.items():
        write(name, crd_schema((module_folder(module) / path).read_text(encoding="utf-8"), version))
    swagger = json.loads((module_folder(_KUBERNETES) / _KUBERNETES_FILE).read_text(encoding="utf-8"))
    write("kubernetes.json", {"definitions": used_definitions(swagger["definitions"])})
    return 0


if __name__ == "__main__":
    sys.exit(main())
