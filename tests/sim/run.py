"""One seed, one run: a cluster, its clients and its nemesis in virtual time; then everything is healed, read and judged."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

from kio.schema.errors import ErrorCode

from lab.history.checker import check
from lab.history.history import History, Retention
from raylog.model.errors import CorruptError
from tests.sim import kafka
from tests.sim.clients import NOT_NOW, Consumer, Deleter, Producer, World
from tests.sim.clock import SimClock
from tests.sim.cluster import Shape, SimCluster
from tests.sim.kafka import Client, Found, Gone, Part
from tests.sim.loop import Deadlock, Process, SimLoop, forgotten
from tests.sim.members import Member, committed_offsets
from tests.sim.nemesis import Nemesis
from tests.sim.trace import Trace

RECOVERY_S_MAX = 90.0
"""After all trouble is over every partition is written and read again within so long."""
_TROUBLE_S = (2.0, 2.0, 2.0, 2.0, 4.0, 10.0)
"""How long random trouble lasts, by lot. Of a second's work short runs find as many faults as long ones, in more shapes of the
cluster and with more kinds of trouble; but some faults show only in a log that has come some way."""
_DIRECTED_TROUBLE_S = 10.0
_STUCK_S = 20.0
"""Its last write has just been acknowledged when a partition is read: it answers within so long."""
_RETENTIONS = 0.35
_RETENTION = (Retention(bytes=400), Retention(bytes=3_000), Retention(ms=1_500), Retention(ms=6_000))
"""A chance of one of these for every topic that is there from the start; directed trouble is about records that stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    seed: str
    anomalies: list[str]
    trace: Trace
    digest: str
    history: History
    seconds: float
    """Of virtual time."""

    def text(self, lines: int = 400) -> str:
        """For people: what is wrong, and how it came to that."""
        found = self.trace.lines[-lines:] if lines else []
        return "\n".join([f"seed {self.seed}: {len(self.anomalies)} anomalies", *self.anomalies[:20], "", *found])


class Run:
    """Everything of one run; a directed scenario makes its own ``trouble``."""

    def __init__(
        self,
        seed: str,
        *,
        shape: Shape | None = None,
        trouble: Callable[["Run"], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.seed = seed
        self.rng = rng = Random(f"{seed}/run")
        self.trace = Trace()
        self.loop = SimLoop(Random(f"{seed}/loop"), self.trace)
        self.shape = shape or Shape.drawn(rng, seed)
        self.cluster = SimCluster(self.loop, seed, self.shape, self.trace)
        self.trouble_s = Random(f"{seed}/length").choice(_TROUBLE_S) if trouble is None else _DIRECTED_TROUBLE_S
        self._trouble = trouble or random_trouble
        wals = list(self.shape.wal_classes)
        self.topics = {f"{wal}-topic": (wal, rng.randint(1, 2)) for wal in wals}
        parts = [Part(name, index) for name, (_, count) in self.topics.items() for index in range(count)]
        self.history = History()
        for name in self.topics:
            if trouble is None and rng.random() < _RETENTIONS:
                self.history.retention[name] = rng.choice(_RETENTION)
        self.clock = SimClock(self.loop)
        self.world = World(self.clock, self.history, self.trace, parts)
        self.anomalies: list[str] = []

    def execute(self) -> Report:
        handler = _LogToTrace(self.trace)
        logger = logging.getLogger("raylog")
        level, propagate = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        content: list[bytes] = []
        try:
            self.loop.run_until_complete(self._main())
            content = self.loop.run_until_complete(self.cluster.bucket.content())
        except (Deadlock, AssertionError, CorruptError) as error:  # the last: a client was given what is no batch
            self.anomalies.append(f"the run broke off: {error!r}")
        finally:
            seconds = self.loop.time() - 1_000.0
            self.loop.end()
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        self.anomalies[:0] = [*self.loop.errors, *self.cluster.failures, *self.cluster.validate()]
        if self.history.logs:
            self.anomalies += check(self.history)
        return Report(
            seed=self.seed,
            anomalies=self.anomalies,
            trace=self.trace,
            digest=self.trace.digest(*content),
            history=self.history,
            seconds=seconds,
        )

    def client(self, name: str) -> Client:
        addresses = [self.cluster.gateway_address(index) for index in range(self.shape.gateways)]
        return Client(name, addresses, Random(f"{self.seed}/{name}"))

    async def _main(self) -> None:
        await self.cluster.start()
        people = Process(self.loop, "clients", "clients")
        await people.run(self._create_topics())
        await people.run(self._first_writes())
        tasks = [people.run(client.run()) for client in self._clients()]
        tasks.append(people.run(self._create_more()))
        await self._trouble(self)
        self.world.is_over = True
        try:
            async with asyncio.timeout(RECOVERY_S_MAX):
                await asyncio.gather(*tasks)
                await people.run(self._read_everything())
        except TimeoutError:
            self.anomalies.append(
                f"the cluster did not recover within {RECOVERY_S_MAX:.0f} s after everything was healed"
            )

    def _clients(self) -> list[Any]:
        rng, world = self.rng, self.world
        clients: list[Any] = [
            Producer(world, self.client(f"p{i}"), is_idempotent=is_idempotent, pause_s=rng.choice((0.05, 0.2, 0.8)))
            for i, is_idempotent in enumerate((True, True, False))
        ]
        clients += [Consumer(world, self.client(f"c{i}")) for i in range(1)]
        clients += [Member(world, self.client(f"m{i}"), "group") for i in range(2)]
        if rng.random() < 0.5:
            clients.append(Deleter(world, self.client("d0")))
        return clients

    async def _create_topics(self) -> None:
        client = self.client("admin")
        for name, (wal, count) in self.topics.items():
            while await self._try_create(client, name, count, wal) is not ErrorCode.none:
                await client.rest(0.5)

    async def _create_more(self) -> None:
        """Topics that come in the middle of the trouble, and may go in it."""
        client = self.client("founder")
        for number in range(self.rng.choice((0, 1, 3))):
            await client.rest(self.trouble_s / 2)
            name, wal = f"later-{number}", self.rng.choice(self.shape.wal_classes)
            if self.world.is_over:
                return
            asked = 1
            while await self._try_create(client, name, 1, wal) is not ErrorCode.none:
                asked += 1
                await client.rest(0.5)
            self.world.parts.append(Part(name, 0))
            # One that was asked for more than once could come again after its deletion: a request that was given up may linger.
            if asked == 1 and self.rng.random() < 0.6:
                await client.rest(self.trouble_s / 2)
                await self._delete_topic(client, Part(name, 0))

    async def _try_create(self, client: Client, name: str, count: int, wal: str) -> ErrorCode:
        kept = self.history.retention.get(name, Retention())
        configs = {"raylog.wal": wal, "retention.ms": f"{kept.ms}", "retention.bytes": f"{kept.bytes}"}
        if self.shape.has_zones:
            configs["raylog.produce.path"] = "bucket"
        try:
            error = await kafka.create_topic(client, name, count, configs)
        except Gone:
            return ErrorCode.request_timed_out
        return ErrorCode.none if error is ErrorCode.topic_already_exists else error

    async def _delete_topic(self, client: Client, part: Part) -> None:
        """Clients leave it alone from here on; its answers are nobody's any more."""
        self.world.parts.remove(part)
        self.history.deleted.add(part)
        while True:
            try:
                error = await kafka.delete_topic(client, part.topic)
            except Gone:
                error = ErrorCode.request_timed_out
            self.trace.event("topic-deleted", f"{part.topic} {error.name}")
            if error in (ErrorCode.none, ErrorCode.unknown_topic_or_partition):
                return
            await client.rest(0.5)

    async def _first_writes(self) -> None:
        """Wait until every partition can be asked for its end."""
        client = self.client("first")
        for part in self.world.parts:
            while await self._offset(client, part, kafka.LATEST) is None:
                await client.rest(0.2)

    async def _offset(self, client: Client, part: Part, which: int) -> int | None:
        """The log's start or end; None when nobody can say now."""
        try:
            if which == kafka.EARLIEST:
                error, offset = await self.world.earliest(client, part)
            else:
                error, offset = await kafka.list_offset(client, part, which)
        except Gone:
            client.hang_up()
            return None
        if error not in (ErrorCode.none, *NOT_NOW):
            self.world.odd(f"{client.name} was told {error.name} by ListOffsets")
        return offset if error is ErrorCode.none else None

    async def _read_everything(self) -> None:
        """A write to each partition, by which its present leader proves itself, and then all that is there, with it."""
        writer = Producer(self.world, self.client("last"), is_idempotent=True, pause_s=0.01)
        for part in self.world.parts:
            writer._make_batch(part)
        await writer.run()
        reader = self.client("reader")
        for part in self.world.parts:
            self.history.logs[part] = await self._log(reader, part, self._acknowledged_end(part))
        while await self._final_commits(reader) is None:
            await reader.rest(0.3)

    def _acknowledged_end(self, part: Part) -> int:
        """Behind the last record of the partition that a producer was told to have written."""
        written = [batch for batch in self.history.batches if batch.part == part and batch.is_acknowledged]
        return max((batch.base_offset + len(batch.values) for batch in written), default=0)

    async def _log(self, reader: Client, part: Part, acknowledged_end: int) -> list[Found]:
        # An end below that is the answer of a leader that is fenced and has not heard of it.
        patient_until_s = self.loop.time() + _STUCK_S
        while (end := await self._offset(reader, part, kafka.LATEST)) is None or (
            end < acknowledged_end and self.loop.time() < patient_until_s
        ):
            await reader.rest(0.3)
        start = await self._start(reader, part)
        log: list[Found] = []
        went_on_at_s = self.loop.time()
        while (position := log[-1].offset + 1 if log else start) < end:
            try:
                error, _, records = (await kafka.fetch(reader, {part: position}))[part]
            except Gone:
                reader.hang_up()
                continue
            if error is ErrorCode.offset_out_of_range:
                # Retention goes on while this reads.
                start = await self._start(reader, part)
                if start <= position:
                    self.world.odd(f"{part}@{position} is out of range, and the log goes from {start} to {end}")
                    break
                log.clear()
            log += records
            if records:
                went_on_at_s = self.loop.time()
            elif self.loop.time() - went_on_at_s > _STUCK_S:
                self.world.odd(
                    f"lost writes: {part}@{position} cannot be read ({error.name}), and the log ends at {end}"
                )
                break
            else:
                await reader.rest(0.1)
        self.history.starts[part] = start
        return log

    async def _start(self, reader: Client, part: Part) -> int:
        while (start := await self._offset(reader, part, kafka.EARLIEST)) is None:
            await reader.rest(0.3)
        return start

    async def _final_commits(self, reader: Client) -> dict[Part, int] | None:
        try:
            return await committed_offsets(self.world, reader, "group", list(self.world.parts))
        except Gone:
            reader.hang_up()
            return None


async def random_trouble(run: Run) -> None:
    """All kinds of it, as the seed has it; healed in the end."""
    nemesis = Nemesis(run.cluster, Random(f"{run.seed}/nemesis"))
    await nemesis.run(run.trouble_s)
    nemesis.heal()


class _LogToTrace(logging.Handler):
    """What roles log is part of the story."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        values = getattr(record, "raylog_fields", {})
        error = record.exc_info[1] if record.exc_info else None
        text = " ".join(f"{key}={value}" for key, value in values.items())
        self._trace.event("log", f"{record.getMessage()} {text}{f' {error!r}' if error else ''}")


def simulate(seed: str, **options: Any) -> Report:
    """Run one seed."""
    with forgotten():
        return Run(seed, **options).execute()
