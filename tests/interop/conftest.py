"""A real ``raylog serve`` and Kafka's own Java tools, fetched from Maven Central into ``target/``; ``make interop`` runs this."""

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_TOOLS = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
}

Tool = Callable[..., str]


@pytest.fixture(scope="session")
def classpath() -> str:
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            pytest.exit(f"make interop needs '{program}' on the PATH: install Java 17 and Maven first.", returncode=2)
    subprocess.run(
        ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={_HERE / 'target'}"],
        cwd=_HERE,
        check=True,
        timeout=600,
    )
    return str(_HERE / "target" / "*")


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("serve")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "raylog.cli.main", "serve"),
            *("--store", str(folder / "bucket"), "--listen", address, "--metrics", ""),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if "serves Kafka on" in line:
                break
        else:
            raise AssertionError("raylog serve ended before it served")
        drain = threading.Thread(target=server.stderr.read)
        drain.start()
        yield address
        server.terminate()
        server.wait(60)
        drain.join()
        server.stderr.close()
    finally:
        server.kill()


@pytest.fixture
def tool(classpath: str, bootstrap: str) -> Tool:
    """Runs one of Kafka's tools against the server and returns what it printed; a non-zero exit code fails the test."""

    def run(name: str, *args: str, address_option: str = "--bootstrap-server", timeout_s: int = 120) -> str:
        address = [address_option, bootstrap] if address_option else []
        done = subprocess.run(
            ["java", "-Xmx256m", "-cp", classpath, _TOOLS[name], *address, *args],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{name} {args}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run
