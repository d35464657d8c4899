"""One run of an experiment: a cluster, its topics, load, events, a look each second, and everything read again in the end.

The journal is all that is left of it: lab/measure.py makes figures of it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from lab.clients import Member, NumberedProducer
from lab.experiment import Experiment, Load, LocalCluster, Topics
from lab.history.history import Part
from lab.history.journal import Journal
from lab.last_reading import read_all
from lab.live import Display
from lab.local_cluster import LocalLab
from lab.running_cluster import RunningLab
from lab.shapes import Later, PartOf, arrivals, even, zipf
from lab.striking import Striking
from lab.watch import Observe, Watch
from raylog.model.clock import Random
from raylog.model.errors import InvalidError, RetryError

WARM_UP_S: Final = 5.0
"""Of load before what is measured begins: clients find the cluster, and Python its feet."""
_ANSWER_S_MAX: Final = 60.0
_LED_S_MAX: Final = 60.0
_CATCH_UP_S_MAX: Final = 120.0
_READ_S_MAX: Final = 300.0
_LOOK_EVERY_S: Final = 0.2

LabCluster = LocalLab | RunningLab


def run(experiment: Experiment, folder: Path, journal: Journal, observe: Observe, display: Display) -> None:
    """Into the journal. Raises RaylogError when it cannot be run, or is ended early."""
    with _cluster(experiment, folder, display) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        with _made_topics(experiment, cluster, admin):
            partitions = {topics.name: _partitions(topics) for topics in experiment.topics}
            everything = [partition for some in partitions.values() for partition in some]
            display.say(f"waiting for leaders of {len(everything)} partitions")
            _wait_until_led(admin, everything, journal, display)
            with Watch(journal, cluster.bootstrap, observe, cluster.counts, display.refresh) as watch:
                display.watch(watch, journal)
                _load(experiment, cluster, journal, partitions, display)
            display.say(f"reading {len(everything)} partitions from start to end")
            read_all(cluster.bootstrap, journal, everything, _READ_S_MAX)


def _cluster(experiment: Experiment, folder: Path, display: Display) -> LabCluster:
    if isinstance(experiment.cluster, LocalCluster):
        return LocalLab(experiment.cluster, folder, display.say)
    return RunningLab(experiment.cluster)


def _partitions(topics: Topics) -> list[Part]:
    return [Part(name, number) for name in topics.names for number in range(topics.partitions)]


@contextlib.contextmanager
def _made_topics(experiment: Experiment, cluster: LabCluster, admin: AdminClient) -> Iterator[None]:
    """Their topics are there inside; of a running cluster they are deleted in the end. Raises InvalidError, RetryError."""
    new = [
        NewTopic(
            name,
            num_partitions=topics.partitions,
            config={**({"raylog.wal": topics.wal} if topics.wal else {}), **topics.config},
        )
        for topics in experiment.topics
        for name in topics.names
    ]
    made: list[str] = []
    try:
        for name, created in admin.create_topics(new, operation_timeout=_ANSWER_S_MAX).items():
            try:
                created.result(_ANSWER_S_MAX)
            except KafkaException as error:
                raise InvalidError(f"Topic '{name}' cannot be made: {error.args[0].str()}") from error
            made.append(name)
        yield
    finally:
        if isinstance(cluster, RunningLab) and made:
            for deleted in admin.delete_topics(made).values():
                with contextlib.suppress(KafkaException):
                    deleted.result(_ANSWER_S_MAX)


def _wait_until_led(admin: AdminClient, partitions: Sequence[Part], journal: Journal, display: Display) -> None:
    deadline = journal.now() + _LED_S_MAX
    while left := _without_leader(admin, partitions):
        if journal.now() > deadline:
            raise RetryError(f"{left[0]} had no leader after {_LED_S_MAX:.0f} s; 'raylog status' shows why.")
        display.pause(_LOOK_EVERY_S)


def _without_leader(admin: AdminClient, partitions: Sequence[Part]) -> Sequence[Part]:
    """All of them while nobody answers."""
    try:
        topics = admin.list_topics(timeout=_LED_S_MAX).topics
    except KafkaException:
        return partitions
    return [one for one in partitions if one.topic not in topics or not _is_led(topics[one.topic], one.index)]


def _is_led(topic: Any, index: int) -> bool:
    return index in topic.partitions and topic.partitions[index].leader >= 0


def _load(
    experiment: Experiment,
    cluster: LabCluster,
    journal: Journal,
    partitions: dict[str, list[Part]],
    display: Display,
) -> None:
    rng = Random(experiment.seed)
    with ExitStack() as members:
        for number, load in enumerate(experiment.loads):
            _start_members(members, number, load, experiment, cluster, journal)
        with ExitStack() as producers:
            for number, load in enumerate(experiment.loads):
                _start_producers(producers, number, load, partitions[load.topics], cluster, journal, rng)
            display.say("warming up")
            display.pause(WARM_UP_S)
            journal.write("began")
            display.begin(journal.now(), experiment.seconds)
            with Striking(experiment.events, cluster.strike, journal, display.say):
                try:
                    display.pause(experiment.seconds)
                except BaseException:
                    cluster.cut_short()
                    raise
            journal.write("ended")
            display.say("the load has ended; waiting for what is not acknowledged")
        read = [one for load in experiment.loads if load.members for one in partitions[load.topics]]
        display.say("waiting for the groups to catch up")
        _wait_until_read(read, journal, display)


def _start_members(
    stack: ExitStack, number: int, load: Load, experiment: Experiment, cluster: LabCluster, journal: Journal
) -> None:
    for member in range(load.members):
        stack.enter_context(
            Member(
                f"load-{number}-member-{member}",
                cluster.bootstrap,
                journal,
                group=f"raylog-lab-{experiment.name}-{number}",
                topics=experiment.topics_named(load.topics).names,
            )
        )


def _start_producers(
    stack: ExitStack,
    number: int,
    load: Load,
    partitions: Sequence[Part],
    cluster: LabCluster,
    journal: Journal,
    rng: Random,
) -> None:
    """Each has its own part of the rate."""
    shares = zipf(len(partitions), load.skew) if load.skew else even(len(partitions))
    shape = PartOf(shape=Later(shape=load.shape, by_s=WARM_UP_S), count=load.producers)
    for producer in range(load.producers):
        stack.enter_context(
            NumberedProducer(
                f"load-{number}-producer-{producer}",
                cluster.bootstrap,
                journal,
                partitions=partitions,
                arrivals=arrivals(shape, shares, load.record_bytes, Random(rng.random())),
                is_idempotent=True,
                linger_ms=load.linger_ms,
            )
        )


def _wait_until_read(partitions: Sequence[Part], journal: Journal, display: Display) -> None:
    """Until the groups have had all that is acknowledged."""
    deadline = journal.now() + _CATCH_UP_S_MAX
    while left := [one for one in partitions if _is_behind(journal, one)]:
        if journal.now() > deadline:
            journal.oddity(f"a group has not read {left[0]} to its end in {_CATCH_UP_S_MAX:.0f} s without load")
            return
        display.pause(_LOOK_EVERY_S)


def _is_behind(journal: Journal, partition: Part) -> bool:
    progress = journal.progress(partition)
    return progress.read_by_group < progress.acknowledged
