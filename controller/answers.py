"""One part of an admin request to its answer: decide on the planned state, submit the records, put a refusal in Kafka's terms.

The answer may be given only once the journal has settled.
"""

from collections.abc import Callable

from kio.schema.errors import ErrorCode

from controller.configs import alter_configs
from controller.journal import Journal
from controller.rules import Refused
from controller.state import MetadataState
from controller.topics import Decided
from raylog.model.admin import ConfigAlteration, ConfigResult, TopicResult


def topic_answer(
    journal: Journal,
    name: str,
    decide: Callable[[MetadataState], Decided],
    *,
    repeated: bool = False,
    validate_only: bool = False,
) -> TopicResult:
    """``repeated``: the request names this topic more than once, which Kafka refuses for all of its mentions."""
    try:
        if repeated:
            raise Refused(ErrorCode.invalid_request, "Duplicate topic name.")
        decided = decide(journal.planned)
    except Refused as refusal:
        return TopicResult(name=name, error_code=int(refusal.code), error_message=str(refusal))
    if not validate_only:
        journal.submit(decided.records)
    return TopicResult(
        name=decided.name, topic_id=decided.topic_id, partitions=decided.partition_count, configs=decided.configs
    )


def config_answer(
    journal: Journal, alteration: ConfigAlteration, *, repeated: bool, validate_only: bool
) -> ConfigResult:
    """``repeated``: the request names this resource more than once."""
    code, message = ErrorCode.none, None
    try:
        if repeated:
            raise Refused(ErrorCode.invalid_request, "Each resource must appear at most once.")
        records = alter_configs(journal.planned, alteration)
    except Refused as refusal:
        code, message = refusal.code, str(refusal)
    else:
        journal.submit(() if validate_only else records)
    return ConfigResult(
        resource_type=alteration.resource_type, name=alteration.name, error_code=int(code), error_message=message
    )
