"""The ``serve`` command as a person meets it: starting, stopping, being killed, and being told what is wrong."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.golden import metadata
from tests.golden.objects import newer_slot

pytestmark = pytest.mark.timeout(180)


def _produce(bootstrap: str, topic: str, value: bytes) -> tuple[int, int]:
    delivered: list[tuple[int, int]] = []
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    producer.produce(
        topic, value, on_delivery=lambda e, m: errors.append(e) if e else delivered.append((m.partition(), m.offset()))
    )
    assert producer.flush(60) == 0
    assert errors == []
    return delivered[0]


def test_ctrl_c_stops_cleanly_and_a_start_has_everything_back(start_serve) -> None:
    server = start_serve()
    assert _produce(server.bootstrap, "kept", b"one") == (0, 0)
    assert server.stop() == 0
    server.start()
    assert _produce(server.bootstrap, "kept", b"two") == (0, 1)


def test_another_ray_on_the_machine_is_left_alone(start_serve) -> None:
    server = start_serve(env={"RAY_ADDRESS": "127.0.0.1:1"})
    assert _produce(server.bootstrap, "alone", b"one") == (0, 0)


def test_killing_only_the_command_ends_every_process_that_it_started(start_serve) -> None:
    server = start_serve()
    family = server.processes()
    roles = [process for process in family if "Actor" in " ".join(process.cmdline())]
    assert len(roles) == 3
    family[0].kill()
    _, left = psutil.wait_procs(roles, timeout=30)
    assert left == []


def test_metrics_of_all_roles_are_at_one_address(start_serve) -> None:
    server = start_serve()
    _produce(server.bootstrap, "measured", b"x" * 1000)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as answer:
        text = answer.read().decode()
    for name in ("raylog_gateway_", "raylog_leader_", "raylog_controller_"):
        assert name in text


def test_topics_and_offsets_are_listed_after_a_kill(start_serve) -> None:
    server = start_serve()
    for number in range(3):
        assert _produce(server.bootstrap, "survivor", str(number).encode()) == (0, number)
    server.kill()
    server.start()
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    assert "survivor" in admin.list_topics(timeout=30).topics
    from confluent_kafka.admin import OffsetSpec

    latest = admin.list_offsets({TopicPartition("survivor", 0): OffsetSpec.latest()})
    assert [future.result().offset for future in latest.values()] == [3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--listen", "nonsense"], "is not an address"),
        (["--store", "ftp://somewhere"], "ftp"),
        (["--wal", "nonsense"], "NAME=URL"),
        (["--default-wal", "missing"], "is not declared"),
    ],
)
def test_wrong_input_is_one_sentence_and_a_failing_exit_code(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = _serve_that_fails(tmp_path, *arguments)
    assert sentence in done
    assert "Traceback" not in done


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = _serve_that_fails(tmp_path, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert "--listen" in done


def test_a_bucket_of_a_newer_raylog_is_refused_at_once_and_by_name(tmp_path: Path) -> None:
    golden = Path(metadata.__file__).parent / "files" / "metadata-slot-v4.bin"
    log = tmp_path / "bucket" / "metadata" / "log"
    log.mkdir(parents=True)
    (log / f"{1:020}").write_bytes(newer_slot(golden.read_bytes()))
    done = _serve_that_fails(tmp_path)
    assert "metadata/log/" in done and "use a newer Raylog" in done


def _serve_that_fails(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "raylog.cli.main", "serve", "--store", str(folder / "bucket"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return " ".join((done.stdout + done.stderr).split())
