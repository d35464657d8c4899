"""What ``serve`` makes of its options and its file."""

from pathlib import Path

import pytest

from raylog.cli.cluster_options import with_default_wals
from raylog.model.config import ClusterConfig, HostPort, load_config_file
from raylog.model.errors import InvalidError


def test_a_local_bucket_gets_a_file_wal_beside_it(tmp_path: Path) -> None:
    config = with_default_wals(ClusterConfig(store=str(tmp_path / "bucket")))
    assert config.store == (tmp_path / "bucket").as_uri()
    assert config.wal == {"object": "object:", "file": (tmp_path / "bucket-wal").as_uri()}
    assert config.default_wal == "file"


def test_s3_defaults_to_the_object_wal() -> None:
    config = with_default_wals(ClusterConfig(store="s3://bucket/prefix?region=eu-west-1"))
    assert config.store == "s3://bucket/prefix?region=eu-west-1"
    assert config.wal == {"object": "object:"}
    assert config.default_wal == "object"


def test_an_undeclared_default_is_refused() -> None:
    with pytest.raises(InvalidError, match="add --wal fast=URL"):
        with_default_wals(ClusterConfig(store="s3://bucket", default_wal="fast"))


def test_a_wal_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="mount its volume"):
        with_default_wals(ClusterConfig(store="s3://bucket", wal={"fast": (tmp_path / "missing").as_uri()}))


def test_a_file_is_merged_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "raylog.toml"
    path.write_text(
        'leaders = 3\n[wal]\nfast = "file:///mnt"\n[broker]\n"auto.create.topics.enable" = false\n', encoding="utf-8"
    )
    config = load_config_file(path, ClusterConfig(wal={"object": "object:"}))
    assert config.leaders == 3
    assert config.wal == {"object": "object:", "fast": "file:///mnt"}
    assert config.broker == {"auto.create.topics.enable": "false"}


@pytest.mark.parametrize("text", ["leeders = 3", 'leaders = "many"', "wal = 7", "= nonsense"])
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "raylog.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidError, match=r"raylog\.toml"):
        load_config_file(path, ClusterConfig())


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:9092", "127.0.0.1", 9092), (":9092", "0.0.0.0", 9092), ("[::1]:80", "::1", 80), ("name:0", "name", 0)],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert HostPort.parse(text) == HostPort(host=host, port=port)


@pytest.mark.parametrize("text", ["", "9092", "host:", "host:port", "host:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not an address"):
        HostPort.parse(text)
