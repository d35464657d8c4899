"""One chaos run: clients at work, phases of faults with health between them, and everything read again in the end."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
from confluent_kafka.admin import AdminClient, NewTopic

from lab.clients import Member, NumberedProducer, Reader
from lab.history.history import Part
from lab.history.journal import Journal
from lab.last_reading import read_all
from lab.shapes import Steady, arrivals, even
from tests.chaos.faults import Fault, Faults
from tests.chaos.machine import Machine
from tests.harness.s3_servers import SERVERS
from tests.harness.serve import ServeProcess

_WALS = ("file", "object")
_PARTITIONS = 4
_RECORD_BYTES = 512
_PHASE_S = 20.0
_KINDS_PER_PHASE = 3
_BETWEEN_FAULTS_S = (1.0, 6.0)
_HEALTHY_S_MAX = 240.0
_READ_S_MAX = 300.0
_GROUP = "chaos-group"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    store: str
    """folder, moto or minio."""
    minutes: float
    seed: int
    per_second: float
    """Records of each producer; there are three for each topic."""
    folder: Path


def run(options: Options, journal: Journal, say: Say) -> None:
    """Returns when everything has been read; the journal then tells what happened. Raises NoMinioError."""
    rng = Random(options.seed)
    with _store(options) as (url, environment, s3):
        wal = options.folder / "wal"
        wal.mkdir()
        server = ServeProcess(
            url,
            options.folder,
            ("--gateways", "2", "--leaders", "2", "--wal", f"file=file://{wal}"),
            environment,
        )
        with Machine(server, journal) as machine:
            say(f"raylog serve on {server.bootstrap}, bucket {url}")
            partitions = _create_topics(server.bootstrap)
            faults = Faults(machine, s3, journal, Random(rng.random()))
            with contextlib.ExitStack() as clients:
                _start_clients(clients, server.bootstrap, journal, partitions, options, rng)
                _wait_until_healthy(journal, partitions)
                say("all partitions are written and read")
                _phases(options, faults, journal, partitions, rng, say)
            say("clients have ended; reading everything")
            read_all(server.bootstrap, journal, partitions, _READ_S_MAX)
            machine.stop()


@contextlib.contextmanager
def _store(options: Options) -> Iterator[tuple[str, dict[str, str], psutil.Process | None]]:
    """The bucket's URL, what its clients need in their environment, and the process that serves it."""
    if options.store not in SERVERS:
        yield str(options.folder / "bucket"), {}, None
        return
    with SERVERS[options.store](options.folder / "s3") as s3:
        yield s3.store_url("cluster"), s3.environment, s3.process


def _create_topics(bootstrap: str) -> list[Part]:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    topics = [NewTopic(f"chaos-{wal}", _PARTITIONS, config={"raylog.wal": wal}) for wal in _WALS]
    for created in admin.create_topics(topics).values():
        created.result(60)
    return [Part(topic.topic, index) for topic in topics for index in range(_PARTITIONS)]


def _start_clients(
    stack: contextlib.ExitStack,
    bootstrap: str,
    journal: Journal,
    partitions: Sequence[Part],
    options: Options,
    rng: Random,
) -> None:
    """Producers end first, and readers only when what these sent last can have come."""
    topics = list(dict.fromkeys(partition.topic for partition in partitions))
    for number in range(2):
        stack.enter_context(Member(f"member-{number}", bootstrap, journal, group=_GROUP, topics=topics))
    stack.enter_context(Reader("reader", bootstrap, journal, partitions=partitions))
    for topic in topics:
        mine = [partition for partition in partitions if partition.topic == topic]
        for kind in ("idempotent-1", "idempotent-2", "plain"):
            stack.enter_context(
                NumberedProducer(
                    f"{topic}-{kind}",
                    bootstrap,
                    journal,
                    partitions=mine,
                    arrivals=arrivals(
                        Steady(per_second=options.per_second), even(len(mine)), _RECORD_BYTES, Random(rng.random())
                    ),
                    is_idempotent=kind != "plain",
                )
            )


def _phases(
    options: Options, faults: Faults, journal: Journal, partitions: Sequence[Part], rng: Random, say: Say
) -> None:
    until = journal.now() + options.minutes * 60
    deck: list[Fault] = []
    phase = 0
    while journal.now() < until and not journal.odd:
        phase += 1
        if len(deck) < _KINDS_PER_PHASE:
            deck = rng.sample(faults.kinds, len(faults.kinds))
        subset, deck = deck[:_KINDS_PER_PHASE], deck[_KINDS_PER_PHASE:]
        say(f"phase {phase}: {', '.join(fault.name for fault in subset)}")
        _strike(faults, subset, journal, rng, say)
        faults.heal()
        healed_at = journal.now()
        _wait_until_healthy(journal, partitions)
        journal.write("healthy")
        say(f"healthy after {journal.now() - healed_at:.1f} s; {journal.acknowledged} records acknowledged")


def _strike(faults: Faults, subset: Sequence[Fault], journal: Journal, rng: Random, say: Say) -> None:
    """Each once, in any order, and then those that are not heavy again while the phase lasts."""
    first = rng.sample(subset, len(subset))
    again = [fault for fault in subset if not fault.is_heavy]
    until = journal.now() + _PHASE_S
    while first or (again and journal.now() < until):
        fault = first[0] if first else rng.choice(again)
        if hit := faults.strike(fault):
            say(f"  {fault.name}: {hit}")
        if first and (hit or journal.now() > until):
            first.pop(0)
        time.sleep(rng.uniform(*_BETWEEN_FAULTS_S))


def _wait_until_healthy(journal: Journal, partitions: Sequence[Part]) -> None:
    """Until a record of each partition that was sent from now on is acknowledged, and read by the reader and by the group."""
    since = journal.now()
    goals: dict[Part, int] = {}
    waiting = list(partitions)
    while waiting and journal.now() < since + _HEALTHY_S_MAX:
        for partition in waiting:
            progress = journal.progress(partition)
            if partition not in goals and progress.acknowledged_sent_at > since:
                goals[partition] = progress.acknowledged
        waiting = [
            partition
            for partition in waiting
            if partition not in goals
            or min(journal.progress(partition).read, journal.progress(partition).read_by_group) < goals[partition]
        ]
        journal.wait_for_change(0.5)
    for partition in waiting:
        what = "read" if partition in goals else "written"
        journal.oddity(
            f"{partition} was not {what} in {_HEALTHY_S_MAX:.0f} s of good health: {journal.progress(partition)}"
        )
