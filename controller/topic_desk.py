"""What gateways ask of the controller for their clients: topics made, enlarged and deleted, and settings altered, many at a time.

Each is decided by a pure function on the metadata (``topics``, ``configs``), and answered for itself: one that is refused does
not touch the others.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from kio.schema.errors import ErrorCode

from controller.answers import config_answer, topic_answer
from controller.journal import Journal
from controller.rules import ClusterRules
from controller.topics import add_partitions, create_topic, delete_topic, repeated
from raylog.model.admin import ConfigAlteration, ConfigResult, NewTopic, TopicResult, TopicSelector
from raylog.model.ids import TopicId


class TopicDesk:
    """Its methods are those of ``raylog.model.admin.ControllerClient``; see there for what they mean."""

    def __init__(
        self,
        *,
        journal: Callable[[], Journal],
        rules: Callable[[], ClusterRules],
        until: Callable[[Callable[[], bool], float], Awaitable[bool]],
        new_topic_id: Callable[[], TopicId],
    ) -> None:
        """``until`` waits for something that commits bring about, so many seconds at most, and says whether it came."""
        self._journal = journal
        self._rules = rules
        self._until = until
        self._new_topic_id = new_topic_id

    async def create(self, topics: Sequence[NewTopic], *, validate_only: bool, timeout_ms: int) -> list[TopicResult]:
        journal = self._journal()
        twice = repeated([topic.name for topic in topics])
        results = []
        for topic in topics:
            decide = partial(create_topic, rules=self._rules(), topic=topic, topic_id=self._new_topic_id())
            results.append(
                topic_answer(journal, topic.name, decide, repeated=topic.name in twice, validate_only=validate_only)
            )
        await journal.settled()
        return results if validate_only else await self._when_adopted(results, timeout_ms)

    async def create_partitions(
        self, counts: dict[str, int], *, validate_only: bool, timeout_ms: int
    ) -> list[TopicResult]:
        journal = self._journal()
        results = []
        for name, total in counts.items():
            decide = partial(add_partitions, rules=self._rules(), name=name, total=total)
            results.append(topic_answer(journal, name, decide, validate_only=validate_only))
        await journal.settled()
        return results if validate_only else await self._when_adopted(results, timeout_ms)

    async def delete(self, topics: Sequence[TopicSelector]) -> list[TopicResult]:
        journal = self._journal()
        twice = repeated(topics)
        results = []
        for selector in topics:
            decide = partial(delete_topic, rules=self._rules(), selector=selector)
            result = topic_answer(journal, selector.name or "", decide, repeated=selector in twice)
            # What a name's topic id was is said only when the deletion succeeds, an asked id always.
            results.append(replace(result, topic_id=result.topic_id or selector.topic_id))
        await journal.settled()
        return results

    async def alter_configs(
        self, alterations: Sequence[ConfigAlteration], *, validate_only: bool
    ) -> list[ConfigResult]:
        journal = self._journal()
        twice = repeated([(alteration.resource_type, alteration.name) for alteration in alterations])
        results = []
        for alteration in alterations:
            again = (alteration.resource_type, alteration.name) in twice
            results.append(config_answer(journal, alteration, repeated=again, validate_only=validate_only))
        await journal.settled()
        return results

    async def _when_adopted(self, results: list[TopicResult], timeout_ms: int) -> list[TopicResult]:
        """The results as soon as all partitions are adopted; REQUEST_TIMED_OUT for topics whose are not in time."""

        def waiting() -> set[TopicId]:
            topics = self._journal().durable.topics
            # A topic that was deleted meanwhile has been created all the same.
            asked = {result.topic_id for result in results if not result.error_code}
            return {topic_id for topic_id, topic in topics.items() if topic_id in asked and not topic.adopted}

        if await self._until(lambda: not waiting(), max(0, timeout_ms) / 1000):
            return results
        late = waiting()
        return [
            replace(
                result,
                error_code=int(ErrorCode.request_timed_out),
                error_message="The topic is there, but not all of its partitions have been taken over by their leaders yet.",
            )
            if result.topic_id in late
            else result
            for result in results
        ]
