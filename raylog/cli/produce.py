"""``raylog produce``: lines of a file or of standard input as records, with an idempotent producer that waits for every one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from raylog.cli.client import Cluster, no_topic
from raylog.cli.options import DEFAULT_BOOTSTRAP_SERVER, Bootstrap, Json, Properties, Topic, pairs_of
from raylog.cli.output import note, print_json
from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_CONNECT_S = 10.0
"""A cluster that does not answer for so long is away."""
_QUEUE_FULL_POLL_S = 0.1
_PROGRESS_EVERY_BYTES = 1 << 20


def produce(
    topic: Topic,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read this file. [default: standard input]")] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="The key of every record.")] = None,
    key_separator: Annotated[
        str | None, typer.Option("--key-separator", "-K", help="Each line is KEY, this text, VALUE.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help="Of every record. Repeatable.")
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Write to this one. [default: by key]")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="The whole input is one record.")] = False,
    compression: Annotated[str, typer.Option(help="none, gzip, snappy, lz4 or zstd.")] = "none",
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long a record may take to be acknowledged.")
    ] = 60,
    json: Json = False,
) -> None:
    """Write records from lines, and return when all of them are acknowledged.

    The topic must exist unless the cluster creates topics by itself.
    """
    if key is not None and key_separator is not None:
        raise InvalidError(
            "The key is either the same for all records (--key) or on each line (--key-separator): choose one."
        )
    if key_separator == "":
        raise InvalidError("The key separator is empty: name the text between key and value.")
    if whole and key_separator is not None:
        raise InvalidError("With --whole there are no lines for --key-separator to split: name the key with --key.")
    headers = list(pairs_of(header, "--header").items())
    cluster = Cluster.of(bootstrap_server, min(timeout, _CONNECT_S), properties)
    producer = cluster.producer(
        {
            "enable.idempotence": True,
            "compression.type": compression,
            "linger.ms": 20,
            "message.timeout.ms": int(timeout * 1000),
        }
    )
    clock = SystemClock()
    begun = clock.monotonic()
    sending = Sending(cluster, producer, topic, headers, partition)
    sending.check_topic()
    size = file.stat().st_size if file is not None and file.is_file() else None
    with _opened(file) as source, _progress(topic, size) as advance:
        for record_key, value, read_bytes in _records(source, key, key_separator, whole=whole):
            sending.send(record_key, value)
            advance(read_bytes)
        sending.finish(timeout)
    seconds = clock.monotonic() - begun
    if json:
        print_json(
            {"topic": topic, "records": sending.acknowledged, "bytes": sending.bytes, "seconds": round(seconds, 3)}
        )
    else:
        note(f"Wrote {sending.acknowledged:,} records ({sending.bytes:,} bytes) to '{topic}' in {seconds:.1f} s.")


class Sending:
    """One producer's run: how much was acknowledged, and the first failure, which ends it."""

    def __init__(
        self,
        cluster: Cluster,
        producer: "Producer",
        topic: str,
        headers: list[tuple[str, str]],
        partition: int | None,
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topic = topic
        self._options: dict[str, Any] = {"headers": headers} if headers else {}
        if partition is not None:
            self._options["partition"] = partition
        self._partition = partition
        self._failure: KafkaError | None = None
        self.acknowledged = 0
        self.bytes = 0

    def check_topic(self) -> None:
        """Raises InvalidError where the topic or partition is missing and the cluster does not create topics by itself."""
        from confluent_kafka import KafkaError

        with self._cluster.errors():
            found = self._producer.list_topics(self._topic, timeout=self._cluster.timeout_s)
        topic = found.topics[self._topic]
        is_coming = topic.error is not None and topic.error.code() in (
            KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        )
        if is_coming and not self._is_created_now():
            raise no_topic(self._topic)
        if topic.error is not None and not is_coming:
            raise self._cluster.sentence(topic.error, f"Topic '{self._topic}'")
        if self._partition is not None and topic.partitions and self._partition not in topic.partitions:
            raise InvalidError(
                f"The topic '{self._topic}' has no partition {self._partition}: it has 0 to {len(topic.partitions) - 1}."
            )

    def send(self, key: bytes | None, value: bytes) -> None:
        self._raise_failure()
        while True:
            try:
                self._producer.produce(self._topic, value=value, key=key, on_delivery=self._delivered, **self._options)
                break
            except BufferError:
                # The cluster is slower than the input: wait for room.
                self._producer.poll(_QUEUE_FULL_POLL_S)
        self.bytes += len(value) + len(key or b"")
        self._producer.poll(0)

    def finish(self, timeout_s: float) -> None:
        """Wait for all acknowledgements. Raises the first failure."""
        with self._cluster.errors():
            left = self._producer.flush(timeout_s + 5)
        self._raise_failure()
        if left:
            raise self._cluster.away()

    def _is_created_now(self) -> bool:
        """Whether the topic has come to be, as it does where topics are created on first use."""
        clock = SystemClock()
        give_up = clock.monotonic() + min(5.0, self._cluster.timeout_s)
        while clock.monotonic() < give_up:
            with self._cluster.errors():
                found = self._producer.list_topics(self._topic, timeout=self._cluster.timeout_s)
            if found.topics[self._topic].error is None:
                return True
            self._producer.poll(_QUEUE_FULL_POLL_S)
        return False

    def _delivered(self, error: "KafkaError | None", _message: "Message") -> None:
        if error is None:
            self.acknowledged += 1
        elif self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._producer.purge()
            sentence = self._cluster.sentence(self._failure, f"Topic '{self._topic}'")
            note(f"raylog: {self.acknowledged:,} records were acknowledged before the failure.")
            raise sentence


def _records(
    source: BinaryIO, key: str | None, separator: str | None, *, whole: bool
) -> Iterator[tuple[bytes | None, bytes, int]]:
    """Key, value and the input bytes they were made from."""
    fixed_key = None if key is None else key.encode()
    if whole:
        content = source.read()
        yield fixed_key, content, len(content)
        return
    mark = None if separator is None else separator.encode().decode("unicode_escape").encode("latin-1")
    for number, line in enumerate(source, start=1):
        text = line.removesuffix(b"\n")
        if mark is None:
            yield fixed_key, text, len(line)
            continue
        line_key, found, value = text.partition(mark)
        if not found:
            raise InvalidError(
                f"Line {number} has no key separator '{separator}': correct it, or leave --key-separator out."
            )
        yield line_key, value, len(line)


@contextmanager
def _opened(file: Path | None) -> Iterator[BinaryIO]:
    if file is None:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise InvalidError(f"The file {file} cannot be read: {error.strerror}.") from error
    with source:
        yield source


@contextmanager
def _progress(topic: str, size: int | None) -> Iterator[Any]:
    """A bar on the terminal for a file, a count for a stream; nothing where there is no terminal."""
    if not sys.stderr.isatty() or (size is None and sys.stdin.isatty()):
        yield lambda _bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("to {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(topic, total=size)
        unseen = 0

        def advance(read_bytes: int) -> None:
            nonlocal unseen
            unseen += read_bytes
            if unseen >= _PROGRESS_EVERY_BYTES:
                progress.advance(task, unseen)
                unseen = 0

        yield advance
        progress.advance(task, unseen)
