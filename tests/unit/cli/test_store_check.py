"""``raylog store check``: a bucket in order, and one in which something is missing, broken or loose."""

import json
from pathlib import Path
from typing import Any

import pytest

from raylog.cli.main import run
from tests.harness.cluster import running


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bucket of a small cluster that had a topic with records, and has stopped."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    folder = tmp_path_factory.mktemp("cluster")
    with running(folder, leaders_per_class=1) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        admin.create_topics([NewTopic("t", 2)])["t"].result(20)
        producer = Producer({"bootstrap.servers": cluster.bootstrap})
        for number in range(20):
            producer.produce("t", value=b"value %d" % number, partition=number % 2)
        assert producer.flush(20) == 0
    return folder / "bucket"


@pytest.fixture
def bucket(written: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    import shutil

    return Path(shutil.copytree(written, tmp_path / "bucket"))


def check(bucket: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    code = run(["store", "check", "--store", str(bucket), "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def data_slot(bucket: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The key of a slot with records."""
    _, report = check(bucket, capsys)
    return next(str(found["key"]) for found in report["objects"] if found["state"] == "data")


def test_a_bucket_in_order_is_whole_and_every_object_has_its_name(bucket, capsys):
    before = {path: path.read_bytes() for path in bucket.rglob("*") if path.is_file()}
    code, report = check(bucket, capsys, "--verify")
    assert code == 0 and report["problems"] == [] and report["verified"]
    assert {found["state"] for found in report["objects"]} == {"data", "log"}
    assert {path: path.read_bytes() for path in bucket.rglob("*") if path.is_file()} == before
    assert run(["store", "check", "--store", str(bucket)]) == 0
    assert "nothing is missing" in capsys.readouterr().out


def test_a_byte_of_a_record_is_found_with_verify_alone(bucket, capsys):
    path = bucket / data_slot(bucket, capsys)
    content = bytearray(path.read_bytes())
    content[64 + 70] ^= 1
    path.write_bytes(content)
    assert check(bucket, capsys)[0] == 0
    code, report = check(bucket, capsys, "--verify")
    assert code == 1
    assert [problem["message"] for problem in report["problems"]] == [
        "the batch at byte 64 does not match its CRC-32C."
    ]


@pytest.mark.parametrize("place", [0, -1])
def test_a_broken_header_or_footer_is_found(bucket, capsys, place):
    path = bucket / data_slot(bucket, capsys)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    code, report = check(bucket, capsys, "--verify")
    assert code == 1 and len(report["problems"]) >= 1


def test_a_log_that_cannot_be_read_makes_nothing_loose(bucket, capsys):
    path = bucket / data_slot(bucket, capsys)
    path.write_bytes(b"short")
    code, report = check(bucket, capsys)
    assert code == 1
    assert report["problems"][0]["key"] == "leaders/000001/"
    assert not [found for found in report["objects"] if found["state"] == "loose"]
    assert "unread" in {found["state"] for found in report["objects"]}


def test_leftovers_and_strangers_are_named(bucket, capsys):
    for key in ("self-test/00/alone", "notes.txt"):
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(b"x")
    code, report = check(bucket, capsys)
    states = {found["key"]: found["state"] for found in report["objects"]}
    assert code == 0
    assert states["self-test/00/alone"] == "loose" and states["notes.txt"] == "foreign"


@pytest.mark.parametrize(("store", "message"), [("no-such-folder", "There is no folder"), ("ftp://x", "kind of store")])
def test_a_wrong_address_is_one_sentence(tmp_path, monkeypatch, capsys, store, message):
    monkeypatch.chdir(tmp_path)
    assert run(["store", "check", "--store", store]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing was made"


def test_a_bucket_in_which_a_partition_moved_is_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The handover is data as long as the next leader's log begins with it."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    with running(tmp_path, leaders_per_class=2) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        admin.create_topics([NewTopic("t", 2)])["t"].result(20)
        producer = Producer({"bootstrap.servers": cluster.bootstrap})
        for number in range(20):
            producer.produce("t", value=b"value %d" % number, partition=0)
        assert producer.flush(20) == 0
        cluster.move({("t", 0): cluster.leader_of("t", 1)})
    code, report = check(tmp_path / "bucket", capsys, "--verify")
    assert (code, report["problems"]) == (0, [])
    assert [found["state"] for found in report["objects"] if found["kind"] == "handover"] == ["data"]
