"""Writes docs/compatibility.md from the handlers and the tables of settings: ``python -m gateway.compatibility``."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gateway.kafka_apis import KAFKA_APIS, KafkaApi
from gateway.registry import ApiTable, served_apis
from raylog.model.broker_config import BROKER_CONFIGS
from raylog.model.config_key import ConfigKey, Effect
from raylog.model.topic_config import TOPIC_CONFIGS

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "compatibility.md"

_INTRODUCTION = """\
# Compatibility with Apache Kafka 4.1

This page is made from the handlers by `python -m gateway.compatibility`; a test holds it to them.

A client needs no special setting. What holds for all APIs:

- Replicas: every partition shows one, on the broker that its clients are sent to. Copies are the bucket's business, so
  any replication factor is taken, and `acks=1` and `acks=all` mean the same: durable in the topic's WAL.
- Throttle times are always 0. A sender that is too fast is read from more slowly.
- A request of a key or version that is not served closes its connection, as in Kafka; ApiVersions is answered
  (KIP-511).
- Record batches of formats v0 and v1 get UNSUPPORTED_FOR_MESSAGE_FORMAT.
- ApiVersions shows Produce from version 0 on, as Kafka 4 does for librdkafka (KAFKA-18659); 3 is the first that is
  served.
"""

_EFFECTS: Final = {
    Effect.ACTS: "acts",
    Effect.STORED: "kept, not yet acted on",
    Effect.MEANINGLESS: "no effect",
}


def document(served: ApiTable) -> str:
    """The whole page."""
    lines = [
        _INTRODUCTION,
        "## Served",
        "",
        "| key | API | versions | of Kafka 4.1 | left out |",
        "|---:|---|---|---|---|",
        *_served(served),
        "",
        "## Not served",
        "",
        "| key | API | versions of Kafka 4.1 | why |",
        "|---:|---|---|---|",
        *(f"| {api.key} | {api.name} | {_range(api.versions)} | {api.unserved} |" for api in _unserved(served)),
        "",
        "## Topic settings",
        "",
        "An unknown setting is refused with INVALID_CONFIG; a known one is never silently ignored.",
        "",
        *_settings(TOPIC_CONFIGS.values()),
        "",
        "## Broker settings",
        "",
        "Set for the whole cluster, by `kafka-configs` or in the configuration file's table `broker`. Those marked as shown only",
        "are facts that DescribeConfigs tells.",
        "",
        *_settings(BROKER_CONFIGS.values()),
        "",
    ]
    return "\n".join(lines)


def _served(served: ApiTable) -> Iterator[str]:
    kafka = {api.key: api for api in KAFKA_APIS}
    for api in served.values():
        versions = _range((api.min_version, api.max_version))
        known = kafka.get(api.key)
        yield f"| {api.key} | {api.name} | {versions} | {_range(known.versions) if known else '-'} | {api.left_out} |"


def _unserved(served: ApiTable) -> list[KafkaApi]:
    return [api for api in KAFKA_APIS if api.key not in served]


def _settings(keys: Iterable[ConfigKey]) -> Iterator[str]:
    yield "| setting | default | | |"
    yield "|---|---|---|---|"
    for key in keys:
        effect = _EFFECTS[key.effect] if key.dynamic else "shown only"
        yield f"| `{key.name}` | {key.default or ''} | {effect} | {key.doc} |"


def _range(versions: tuple[int, int]) -> str:
    lowest, highest = versions
    return str(lowest) if lowest == highest else f"{lowest}-{highest}"


def main() -> None:
    DOCUMENT.write_text(document(served_apis()), encoding="utf-8")


if __name__ == "__main__":
    main()
