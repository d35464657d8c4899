"""Read plans that leaders have given, kept for the fetches that go on where they lead.

A leader plans further than a fetch asks (``leader.plan_ahead_bytes``), so a consumer that catches up asks it once for many
fetches. What is planned is committed and never changes; what can be old in an answer from here is where the log begins and
ends, by ``gateway.plan_s_max`` at most, as in a follower's answer in Kafka (KIP-392). Rules:

- What has no plan here is asked of its leader. If other partitions have, there is something to give: nobody waits for more.
- What was at its end a moment ago is not asked for again while other partitions have something to give. Where a plan leads to the
  end of its log, that is so once it is used up.
- When a leader has to be asked, what is half used or half as old as it may become is asked for as well: a consumer's partitions
  need their next plans together then, and not each with another fetch.
- A plan is used while it has as much as the client would take of the partition, and what is read ahead behind that: answers
  are as large as the leader's, and where an object has to be read its reader does not come to a plan's end without the next one.
- Aborted transactions are named with the records that they are in: a plan that has any is used once, for the fetch that asked.
- A client that names another leader epoch, or an epoch of the log (KIP-320), is for the leader to answer.
- Plans are a connection's own, as readers of a partition are at different places.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Any, Final, NamedTuple

from gateway.context import RequestContext
from gateway.fetching import Answers, FetchParts, PlannedAnswer, end_offset, topic_key
from raylog.model.clock import Clock
from raylog.model.ids import LeaderId
from raylog.protocol.gather import RecordsParts

_PLANS_MAX: Final = 4096
"""Of all connections; the oldest goes first."""
_END_S: Final = 0.05
"""So long a partition counts as being at its end, for a consumer that catches up elsewhere: some of his fetches, each of which
would wait for a leader else. The partition's new records come to him so much later at most."""
_NO_EPOCH: Final = -1

_Key = tuple[str, int, int, int, Any, int]
"""Client's host and port, API version, isolation level, topic, partition."""


class Kept(NamedTuple):
    """What a leader has said of a partition."""

    leader_id: LeaderId
    leader_epoch: int
    """As the client named it."""
    half_s: float
    until_s: float
    answer: PlannedAnswer | Any
    """With a plan; or without records, of a partition that was at its end."""
    half_bytes: int
    """Half of what the plan led to when it was new."""

    def is_half_used(self, now: float) -> bool:
        return now >= self.half_s or (
            isinstance(self.answer, PlannedAnswer) and len(self.answer.plan) < self.half_bytes
        )


class PlanCache:
    def __init__(self, clock: Clock, *, plan_s_max: float, ahead_bytes: int) -> None:
        """``ahead_bytes``: as much is read ahead of a consumer, none where the system does that."""
        self._clock = clock
        self._ahead_bytes = ahead_bytes
        self._plan_s_max = plan_s_max
        self._kept: OrderedDict[_Key, Kept] = OrderedDict()

    def find(self, context: RequestContext, request: Any, parts: FetchParts) -> tuple[Answers, FetchParts]:
        """Answers to those of the request's partitions that a plan is here for, and the others."""
        if not self._kept:
            return {}, parts
        now = self._clock.monotonic()
        answers: Answers = {}
        others = FetchParts(refused=parts.refused)
        half_used = []
        for leader_id, pairs in parts.by_leader.items():
            for pair in pairs:
                topic, partition = pair
                kept = self._follow(_key(context, request, topic, partition), leader_id, request, partition, now)
                if kept is None:
                    others.by_leader.setdefault(leader_id, []).append(pair)
                    continue
                key = topic_key(topic), partition.partition
                answers[key] = kept.answer
                if kept.is_half_used(now):
                    half_used.append((leader_id, pair, key))
        if others.by_leader:
            for leader_id, pair, key in half_used:
                others.by_leader.setdefault(leader_id, []).append(pair)
                del answers[key]
        return answers, others

    def follow(
        self, context: RequestContext, request: Any, leader_id: LeaderId, topic: Any, partition: Any
    ) -> Kept | None:
        """What is kept of one partition, if it is enough for the request."""
        key = _key(context, request, topic, partition)
        return self._follow(key, leader_id, request, partition, self._clock.monotonic())

    def _follow(self, key: _Key, leader_id: LeaderId, request: Any, partition: Any, now: float) -> Kept | None:
        """What is kept of the partition, if its plan is long enough for what the request wants, or it was at its end; or None."""
        kept = self._kept.get(key)
        if kept is None or not _is_of(kept, leader_id, partition, now):
            return None
        answer = kept.answer
        if not isinstance(answer, PlannedAnswer):
            return kept if _is_at_end(answer, request, partition) else None
        log_end = end_offset(answer.answer, request)
        leads_to_end = answer.plan.end_offset == log_end
        if leads_to_end and partition.fetch_offset == log_end:
            until_s = min(kept.until_s, now + _END_S)
            kept = kept._replace(
                answer=answer.with_records(RecordsParts()), half_s=(now + until_s) / 2, until_s=until_s
            )
        else:
            plan = answer.plan.onward(partition.fetch_offset)
            is_short = plan is not None and plan.size_bytes < partition.partition_max_bytes + self._ahead_bytes
            if plan is None or (is_short and not leads_to_end):
                return None
            # What it has passed is not looked through again.
            kept = kept._replace(answer=PlannedAnswer(answer.answer, plan, is_onward=True))
        self._kept[key] = kept
        return kept

    def keep(self, context: RequestContext, request: Any, parts: FetchParts, answers: Answers) -> None:
        """What leaders have just answered; plans are marked where their reader has come along the plan before."""
        now = self._clock.monotonic()
        self._forget_old(now)
        for leader_id, pairs in parts.by_leader.items():
            for topic, partition in pairs:
                answer = answers.get((topic_key(topic), partition.partition))
                key = _key(context, request, topic, partition)
                if isinstance(answer, PlannedAnswer):
                    if answer.answer.aborted_transactions:
                        continue
                    if self._leads_to(key, partition):
                        answer = answers[topic_key(topic), partition.partition] = replace(answer, is_onward=True)
                    lasts_s, half_bytes = self._plan_s_max, len(answer.plan) // 2
                elif answer is not None and _is_at_end(answer, request, partition):
                    lasts_s, half_bytes = min(_END_S, self._plan_s_max), 0
                else:
                    continue
                half_s, until_s = now + lasts_s / 2, now + lasts_s
                self._kept[key] = Kept(leader_id, _epoch(partition), half_s, until_s, answer, half_bytes)
                self._kept.move_to_end(key)

    def _leads_to(self, key: _Key, partition: Any) -> bool:
        """Whether the request goes on where a plan that is here leads."""
        before = self._kept.get(key)
        if before is None or not isinstance(before.answer, PlannedAnswer):
            return False
        return before.answer.plan.onward(partition.fetch_offset) is not None

    def _forget_old(self, now: float) -> None:
        kept = self._kept
        while kept and (len(kept) > _PLANS_MAX or next(iter(kept.values())).until_s < now):
            kept.popitem(last=False)


def _key(context: RequestContext, request: Any, topic: Any, partition: Any) -> _Key:
    client = context.client
    version = context.head.api_version
    return client.host, client.port, version, request.isolation_level, topic_key(topic), partition.partition


def _is_at_end(answer: Any, request: Any, partition: Any) -> bool:
    """Whether a leader's answer says that there is nothing more to read."""
    return not answer.error_code and not answer.records and end_offset(answer, request) == partition.fetch_offset


def _epoch(partition: Any) -> int:
    epoch: int = getattr(partition, "current_leader_epoch", _NO_EPOCH)
    return epoch


def _is_of(kept: Kept, leader_id: LeaderId, partition: Any, now: float) -> bool:
    return (
        now < kept.until_s
        and kept.leader_id == leader_id
        and kept.leader_epoch == _epoch(partition)
        and getattr(partition, "last_fetched_epoch", _NO_EPOCH) == _NO_EPOCH
    )
