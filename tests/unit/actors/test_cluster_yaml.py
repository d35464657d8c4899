"""What operators run is valid by Ray's own schema."""

import json
from pathlib import Path

import jsonschema
import ray.autoscaler
import yaml

_ROOT = Path(__file__).parents[3]


def test_cluster_yaml_is_valid_for_ray_up_and_holds_no_key() -> None:
    text = (_ROOT / "cluster.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(config, schema)
    assert config["head_node_type"] in config["available_node_types"]
    assert not any(word in text.lower() for word in ("secret", "access_key", "akia"))
