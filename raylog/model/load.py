"""What roles report of their work: rates by partition, and what their process uses. Soft state: it is in no log."""

import os
from array import array
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from raylog.model.ids import TopicId, TopicPartition

REQUEST_BYTES: Final = 8 * 1024
"""A request costs a leader about as much time as so many bytes do."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class PartitionLoad(NamedTuple):
    """Rates of one partition, per second. What gateways read from the bucket is not its leader's work, and not in them."""

    partition: TopicPartition
    bytes_in: float
    bytes_out: float
    requests: float

    @property
    def weight(self) -> float:
        """One number for what a leader has to do for it, in weighted bytes a second."""
        return weight(self.bytes_in, self.bytes_out, self.requests)


def weight(bytes_in: float, bytes_out: float, requests: float) -> float:
    return bytes_in + bytes_out + requests * REQUEST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    partitions: tuple[PartitionLoad, ...] = ()
    """Those whose load is not next to nothing."""
    cpu: float = 0.0
    """CPU seconds of the leader's process, per second."""
    memory_bytes: int = 0
    idle_s: float = 0.0
    """For how long nobody has asked the leader for anything."""

    def __reduce__(self) -> tuple[Any, ...]:
        """By topic and packed, 16 bytes for each partition: it is sent every few seconds, with up to thousands of them."""
        topics: dict[TopicId, tuple[array[int], array[float]]] = {}
        for (topic_id, number), *rates in self.partitions:
            numbers, packed = topics.setdefault(topic_id, (array("i"), array("f")))
            numbers.append(number)
            packed.extend(rates)
        return _report_from, (topics, self.cpu, self.memory_bytes, self.idle_s)


def _report_from(
    topics: "dict[TopicId, tuple[array[int], array[float]]]", cpu: float, memory_bytes: int, idle_s: float
) -> LoadReport:
    partitions = tuple(
        PartitionLoad(TopicPartition(topic_id, number), *packed[3 * place : 3 * place + 3])
        for topic_id, (numbers, packed) in topics.items()
        for place, number in enumerate(numbers)
    )
    return LoadReport(partitions=partitions, cpu=cpu, memory_bytes=memory_bytes, idle_s=idle_s)


class ProcessUsage(NamedTuple):
    cpu_s: float
    """All that the process has used since its start."""
    memory_bytes: int
    """Resident, what it shares with others included."""


def newest_share(seconds: float, half_life_s: float) -> float:
    """How much a smoothed rate takes of its newest sample, which is of so many seconds."""
    share: float = 1.0 - 0.5 ** (seconds / half_life_s)
    return share


class CpuRate:
    """How much of a processor a process takes, smoothed. The first estimate is that of the first whole interval."""

    def __init__(self, half_life_s: float, cpu_s: float) -> None:
        """``cpu_s`` is what the process has used by now."""
        self._half_life_s = half_life_s
        self._cpu_s = cpu_s
        self._rate: float | None = None

    def sample(self, seconds: float, cpu_s: float) -> float:
        """The rate, so many seconds after the last one, when the process has used ``cpu_s`` in all."""
        newest = (cpu_s - self._cpu_s) / seconds
        self._cpu_s = cpu_s
        share = newest_share(seconds, self._half_life_s)
        self._rate = newest if self._rate is None else self._rate + share * (newest - self._rate)
        return self._rate


def process_usage() -> ProcessUsage:
    """Of this process, as the kernel counts it."""
    times = os.times()
    with open("/proc/self/statm", "rb") as statm:
        resident_pages = int(statm.read().split()[1])
    return ProcessUsage(times.user + times.system, resident_pages * _PAGE_BYTES)
