"""A real ``raylog serve``, and clients of other languages built by their own tools; ``make interop`` runs this.

Every language is tried unless ``--languages`` names fewer; a chosen one whose tools are missing stops the run with a sentence.
What is fetched and built goes to ``target/`` and ``node/node_modules/``.
"""

import os
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
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
}

Tool = Callable[..., str]


_NEEDS = {
    "java": (("java", "javac", "mvn"), "Java 17 and Maven"),
    "go": (("go",), "Go 1.21 or newer"),
    "node": (("node", "npm"), "Node 20 or newer"),
}
Scenario = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--languages", default=",".join(_NEEDS), help="the languages whose clients are tried, such as 'java,node'"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--languages").split(",")
    unknown = set(chosen) - set(_NEEDS)
    if unknown:
        raise pytest.UsageError(f"--languages knows {', '.join(_NEEDS)}, not {', '.join(sorted(unknown))}.")
    for language in chosen:
        programs, package = _NEEDS[language]
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            others = ",".join(other for other in chosen if other != language)
            raise pytest.UsageError(
                f"make interop needs '{missing[0]}' on the PATH: install {package} first, "
                f"or leave {language} out with: make interop ARGS='--languages {others}'"
            )
    left_out = [item for item in items if item.path.is_relative_to(_HERE) and _language(item) not in chosen]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _language(item: pytest.Item) -> str:
    """Test modules are named for their language: ``test_java_tools.py``."""
    return item.path.stem.split("_")[1]


@pytest.fixture(scope="session")
def classpath() -> str:
    _run(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={_HERE / 'target'}"], cwd=_HERE)
    return str(_HERE / "target" / "*")


@pytest.fixture(scope="session")
def java_clients(classpath: str, bootstrap: str) -> Scenario:
    classes = _HERE / "target" / "classes"
    _run(["javac", "-cp", classpath, "-d", str(classes), *map(str, (_HERE / "java").glob("*.java"))], cwd=_HERE)
    command = ["java", "-Xmx256m", "-cp", f"{classes}{os.pathsep}{classpath}", "Clients", bootstrap]
    return lambda name: _run([*command, name], cwd=_HERE)


@pytest.fixture(scope="session")
def go_clients(bootstrap: str) -> Scenario:
    program = str(_HERE / "target" / "go-interop")
    _run(["go", "test", "-c", "-o", program, "."], cwd=_HERE / "go")
    return lambda name: _run(
        [program, "-test.v", "-test.run", f"^{name}$"], cwd=_HERE / "go", bootstrap=bootstrap, must_print="--- PASS"
    )


@pytest.fixture(scope="session")
def node_clients(bootstrap: str) -> Scenario:
    _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=_HERE / "node")
    return lambda name: _run(
        ["node", "--test", "--test-name-pattern", f"^{name}$", "round_trips.test.js"],
        cwd=_HERE / "node",
        bootstrap=bootstrap,
        must_print="# pass 1\n",
    )


def _run(command: list[str], *, cwd: Path, bootstrap: str = "", must_print: str = "") -> None:
    """Run to the end; a non-zero exit code, or nothing having run, fails the test with all that was printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "RAYLOG_BOOTSTRAP": bootstrap, "KAFKAJS_NO_PARTITIONER_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    printed = f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, printed
    assert must_print in done.stdout, printed


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
