"""The configuration that a local cluster's nodes are given is one that Raylog takes."""

from pathlib import Path

from lab.experiment import LocalCluster
from lab.local_cluster import config_text
from raylog.model.config import ClusterConfig, load_config_file
from raylog.model.limits import Limits


def test_everything_is_in_the_folder_and_settings_arrive(tmp_path: Path) -> None:
    spec = LocalCluster(
        nodes=("a",),
        latency="s3-standard",
        options={"spares": 0},
        broker={"num.partitions": "3"},
        limits={"balance": {"rest_s": 2.5, "moves_max": 7}},
    )
    file = tmp_path / "raylog.toml"
    file.write_text(config_text(spec, tmp_path, tmp_path / "brake"))
    config = load_config_file(file, ClusterConfig())
    assert config.store == f"file://{tmp_path}/bucket?brake={tmp_path}/brake&latency=s3-standard"
    assert config.wal == {"file": f"file://{tmp_path}/wal", "object": "object:"}
    assert (config.spares, config.broker, config.metrics) == (0, {"num.partitions": "3"}, "")
    assert Path(config.run_dir).is_relative_to(tmp_path)
    balance = Limits.from_mapping(config.limits).balance
    assert (balance.rest_s, balance.moves_max) == (2.5, 7)
