"""Apache Kafka for comparison: the release from Maven Central, one KRaft node, 1 GiB of heap, its own defaults otherwise."""

import os
import re
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Server, ServerError
from lab.ports import free_port

_POM = Path(__file__).parent / "kafka" / "pom.xml"
_DOWNLOAD_S_MAX = 900


def kafka_version() -> str:
    found = re.search(r"<kafka\.version>(.+?)</", _POM.read_text())
    assert found is not None, f"no version in {_POM}"
    return found[1]


def missing_tools() -> str | None:
    """One sentence when Kafka cannot be run here."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        return f"Apache Kafka needs Java 17 and Maven; {' and '.join(missing)} cannot be found here, so install them first."
    return None


def download() -> Path:
    """The folder with the broker's jars, fetched once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "raylog-bench"
    folder = cache / f"kafka-{kafka_version()}"
    if folder.exists():
        return folder
    partial = cache / f"kafka-{kafka_version()}.{os.getpid()}"
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"],
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_S_MAX,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"Maven could not fetch Apache Kafka {kafka_version()}:\n{done.stdout}{done.stderr}")
    partial.rename(folder)
    return folder


@dataclass(kw_only=True)
class KafkaServer(Server):
    libraries: Path

    def command(self) -> Sequence[str]:
        properties = self.folder / "server.properties"
        controller = free_port()
        properties.write_text(
            "\n".join(
                (
                    "process.roles=broker,controller",
                    "node.id=1",
                    f"controller.quorum.voters=1@127.0.0.1:{controller}",
                    f"listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}",
                    f"advertised.listeners=PLAINTEXT://{self.bootstrap}",
                    "controller.listener.names=CONTROLLER",
                    f"log.dirs={self.folder / 'data'}",
                    "offsets.topic.replication.factor=1",
                    "transaction.state.log.replication.factor=1",
                    "transaction.state.log.min.isr=1",
                    "group.initial.rebalance.delay.ms=0",
                    "",
                )
            )
        )
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatted = subprocess.run(
            [
                *self._java("256m"),
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={cluster_id}",
                "-c",
                str(properties),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode:
            raise ServerError(f"Kafka could not format its folder:\n{formatted.stdout}{formatted.stderr}")
        return [*self._java("1g"), "kafka.Kafka", str(properties)]

    def _java(self, heap: str) -> list[str]:
        return ["java", f"-Xms{heap}", f"-Xmx{heap}", "-cp", f"{self.libraries}/*"]
