"""The manifests in ``deploy/kuberay`` as Kubernetes gets them, and what its own schemas have against them.

``built`` does what ``kubectl apply -k`` does with the little of kustomize that they use. Kubernetes passes over fields that it
does not know; ``problems`` does not.
"""

import copy
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonpatch
import jsonschema
import yaml

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
_SCHEMAS = Path(__file__).parent / "schemas"

Document = dict[str, Any]

_CRDS = {
    ("ray.io/v1", "RayCluster"): "raycluster.json",
    ("monitoring.coreos.com/v1", "ServiceMonitor"): "servicemonitor.json",
}
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class _Loader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, which YAML does too."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{sorted(twice)} are there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load(path: Path) -> Any:
    """A file of one document."""
    (document,) = load_all(path)
    return document


def load_all(path: Path) -> list[Any]:
    return list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Loader))


def built(folder: Path) -> list[Document]:
    """All documents of a kustomization, its patches (RFC 6902), namespace and images put in."""
    kustomization = load(folder / "kustomization.yaml")
    unknown = kustomization.keys() - {"apiVersion", "kind", "namespace", "resources", "patches", "images"}
    assert not unknown, f"{folder} uses {unknown}, which is not looked at here"
    documents: list[Document] = []
    for name in kustomization["resources"]:
        path = folder / name
        documents += built(path) if path.is_dir() else load_all(path)
    documents = [copy.deepcopy(document) for document in documents]
    for patch in kustomization.get("patches", ()):
        documents = _patched(documents, patch["target"], load(folder / patch["path"]))
    for image in kustomization.get("images", ()):
        _set_image(documents, image["name"], f"{image['newName']}:{image['newTag']}")
    for document in documents:
        if document["kind"] not in ("PersistentVolume", "StorageClass"):
            document["metadata"]["namespace"] = kustomization["namespace"]
    return documents


def _patched(documents: list[Document], target: dict[str, str], operations: list[Any]) -> list[Document]:
    hits = [(d["kind"], d["metadata"]["name"]) == (target["kind"], target["name"]) for d in documents]
    assert hits.count(True) == 1, f"{target} names {hits.count(True)} documents"
    patch = jsonpatch.JsonPatch(operations)
    return [patch.apply(d) if hit else d for d, hit in zip(documents, hits, strict=True)]


def _set_image(node: Any, name: str, image: str) -> None:
    if isinstance(node, dict):
        if node.get("image") == name:
            node["image"] = image
        for value in node.values():
            _set_image(value, name, image)
    elif isinstance(node, list):
        for value in node:
            _set_image(value, name, image)


def problems(document: Document) -> list[str]:
    """What its schema has against it: one line each, the path first. Raises KeyError for a kind whose schema is not there."""
    validator = _validator(document["apiVersion"], document["kind"])
    return sorted(f"{error.json_path}: {error.message}" for error in validator.iter_errors(document))


@functools.cache
def _validator(api_version: str, kind: str) -> Any:
    kubernetes = json.loads((_SCHEMAS / "kubernetes.json").read_text(encoding="utf-8"))["definitions"]
    crd = _CRDS.get((api_version, kind))
    if crd is None:
        group, _, version = api_version.rpartition("/")
        found = {"group": group, "version": version, "kind": kind}
        schema = next(s for s in kubernetes.values() if found in s.get("x-kubernetes-group-version-kind", ()))
    else:
        schema = json.loads((_SCHEMAS / crd).read_text(encoding="utf-8"))
        schema["properties"]["metadata"] = {"$ref": f"#/definitions/{_OBJECT_META}"}
    whole = {**_closed(schema), "definitions": {name: _closed(s) for name, s in kubernetes.items()}}
    return jsonschema.Draft202012Validator(whole)


def _closed(schema: Any, *, is_names: bool = False) -> Any:
    """The same schema in JSON schema's own words, refusing what it does not name. ``is_names``: the keys are fields' names."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {k: _closed(v, is_names=k in ("properties", "definitions") and not is_names) for k, v in schema.items()}
    if is_names:
        return closed
    if closed.get("x-kubernetes-int-or-string") or closed.get("format") == "int-or-string":
        closed["type"] = ["integer", "string"]
    if "properties" in closed and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def walk(node: Any) -> Iterator[Any]:
    """A document's parts, itself first."""
    yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from walk(child)
