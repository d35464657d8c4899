"""``raylog consume``: records to standard output, alone or as a member of a group.

Without a group nothing is committed, and every partition is read from where the options say. With one, an offset is
committed only after its record was written out.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from raylog.cli.client import Cluster
from raylog.cli.options import DEFAULT_BOOTSTRAP_SERVER, Bootstrap, Json, Properties, Timeout, Topic
from raylog.cli.output import note
from raylog.cli.record_format import DEFAULT_FORMAT, FORMAT_HELP, RecordFormat, json_line
from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

_POLL_S = 0.1
_POLL_RECORDS = 1000


def consume(
    topic: Topic,
    group: Annotated[
        str | None, typer.Option("--group", "-g", help="Join this group and commit offsets in it.")
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="From the first record; in a group, where it has no offset yet.")
    ] = False,
    offset: Annotated[
        int | None, typer.Option(help="From this offset; -N: the last N records of each partition.")
    ] = None,
    partition: Annotated[
        list[int] | None, typer.Option("--partition", "-p", min=0, help="Only this one. Repeatable.")
    ] = None,
    max_records: Annotated[int | None, typer.Option("--max", "-n", min=1, help="Stop after so many records.")] = None,
    exit_at_end: Annotated[
        bool, typer.Option("--exit", "-e", help="Stop at the end that each partition had at the start.")
    ] = False,
    idle: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Stop when nothing has come for so long.")
    ] = None,
    read_committed: Annotated[
        bool, typer.Option("--read-committed", help="Leave aborted and open transactions out.")
    ] = False,
    output_format: Annotated[str, typer.Option("--format", help=FORMAT_HELP)] = DEFAULT_FORMAT,
    bootstrap_server: Bootstrap = DEFAULT_BOOTSTRAP_SERVER,
    properties: Properties = None,
    timeout: Timeout = 10,
    json: Json = False,
) -> None:
    """Print a topic's records as they come, until Ctrl-C or as the options say.

    Starts at the end, unless told otherwise.
    """
    if group is not None and (offset is not None or partition or exit_at_end):
        raise InvalidError(
            "A group decides on partitions and offsets by itself: leave --offset, --partition and --exit out."
        )
    if from_beginning and offset is not None:
        raise InvalidError("Records start either --from-beginning or at --offset: choose one.")
    render = json_line if json else RecordFormat(output_format).render
    cluster = Cluster.of(bootstrap_server, timeout, properties)
    consumer = cluster.consumer(
        {
            # A name that no group has, for a consumer that neither joins nor commits.
            "group.id": group or "raylog-cli-none",
            "auto.offset.reset": "earliest" if from_beginning else "latest",
            "enable.auto.offset.store": False,
            "enable.auto.commit": group is not None,
            "isolation.level": "read_committed" if read_committed else "read_uncommitted",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
        }
    )
    try:
        numbers = sorted(cluster.metadata(consumer, topic).topics[topic].partitions)
        reading = Reading(cluster, consumer, topic, is_member=group is not None)
        if group is not None:
            with cluster.errors():
                consumer.subscribe([topic], on_assign=reading.assigned)
        else:
            reading.assign(_chosen(topic, numbers, partition), from_beginning, offset, exit_at_end)
        reading.run(render, max_records, idle)
    except KeyboardInterrupt:
        pass  # How one ends a consumer: not an error.
    finally:
        consumer.close()


def _chosen(topic: str, numbers: list[int], wanted: list[int] | None) -> list[int]:
    for number in wanted or ():
        if number not in numbers:
            raise InvalidError(f"The topic '{topic}' has no partition {number}: it has 0 to {len(numbers) - 1}.")
    return sorted(set(wanted)) if wanted else numbers


class Reading:
    """One consumer's run."""

    def __init__(self, cluster: Cluster, consumer: "Consumer", topic: str, *, is_member: bool) -> None:
        self._cluster = cluster
        self._consumer = consumer
        self._topic = topic
        self._is_member = is_member
        self._clock = SystemClock()
        # While a member waits for its first assignment it is not idle.
        self._last_came = None if is_member else self._clock.monotonic()
        self._ends: dict[int, int] | None = None
        """With --exit: the offsets at which partitions not yet read to their end are done."""

    def assign(self, numbers: list[int], from_beginning: bool, offset: int | None, exit_at_end: bool) -> None:
        from confluent_kafka import TopicPartition

        ends = {}
        places = []
        for number in numbers:
            with self._cluster.errors():
                begin, end = self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, number), timeout=self._cluster.timeout_s
                )
            if from_beginning:
                start = begin
            elif offset is None:
                start = end
            else:
                start = min(max(offset if offset >= 0 else end + offset, begin), end)
            if start < end:
                ends[number] = end
            places.append(TopicPartition(self._topic, number, start))
        if exit_at_end:
            self._ends = ends
            places = [place for place in places if place.partition in ends]
        with self._cluster.errors():
            self._consumer.assign(places)

    def assigned(self, _consumer: "Consumer", _partitions: "list[TopicPartition]") -> None:
        """The group has given us our partitions: from now on it is idle when nothing comes."""
        self._last_came = self._clock.monotonic()

    def run(self, render: "Callable[[Message], bytes]", max_records: int | None, idle_s: float | None) -> None:
        left = max_records
        while left != 0 and self._ends != {}:
            with self._cluster.errors():
                batch = self._consumer.consume(_POLL_RECORDS if left is None else min(left, _POLL_RECORDS), _POLL_S)
            written: dict[int, TopicPartition] = {}
            for message in batch:
                if self._is_record(message):
                    sys.stdout.buffer.write(render(message))
                    self._note_place(message, written)
                    if left is not None:
                        left -= 1
            if written:
                self._last_came = self._clock.monotonic()
                sys.stdout.buffer.flush()
                self._store(list(written.values()))
            elif idle_s is not None and self._idle_s() >= idle_s:
                note(f"Nothing has come for {idle_s:g} s.")
                return

    def _idle_s(self) -> float:
        return 0.0 if self._last_came is None else self._clock.monotonic() - self._last_came

    def _is_record(self, message: "Message") -> bool:
        """Whether it is a record to print; raises the sentence of an error that ends the run."""
        from confluent_kafka import KafkaError

        error = message.error()
        number = message.partition()
        if error is None:
            if self._ends is None:
                return True
            end = self._ends.get(number or 0, -1)
            if (message.offset() or 0) < end:
                return True
            self._ends.pop(number or 0, None)  # A marker or a gap was at the end, and this has come since.
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            if self._ends is not None:
                self._ends.pop(number or 0, None)
            return False
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT) or error.retriable():
            return False  # librdkafka connects again by itself.
        raise self._cluster.sentence(error, f"Topic '{self._topic}'")

    def _note_place(self, message: "Message", written: "dict[int, TopicPartition]") -> None:
        from confluent_kafka import TopicPartition

        number, following = message.partition() or 0, (message.offset() or 0) + 1
        written[number] = TopicPartition(self._topic, number, following)
        if self._ends is not None and following >= self._ends.get(number, following):
            self._ends.pop(number, None)

    def _store(self, places: "list[TopicPartition]") -> None:
        if self._is_member:
            with self._cluster.errors():
                self._consumer.store_offsets(offsets=places)
