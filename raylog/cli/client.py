"""Kafka clients for the data commands: ordinary confluent-kafka, quiet, and its errors as one sentence with the remedy.

confluent_kafka is imported inside, so that ``raylog --help`` does not pay for it.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from raylog.cli.options import pairs_of
from raylog.model.errors import InvalidError, RaylogError, RetryError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer
    from confluent_kafka.admin import AdminClient, ClusterMetadata

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Which Kafka a command talks to, and how patiently."""

    bootstrap: str
    timeout_s: float
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, bootstrap: str, timeout_s: float, properties: list[str] | None) -> "Cluster":
        return cls(bootstrap=bootstrap, timeout_s=timeout_s, properties=pairs_of(properties, "--property"))

    def admin(self) -> "AdminClient":
        from confluent_kafka.admin import AdminClient

        with self.errors():
            return AdminClient(cast("dict[str, Any]", self._settings({})))

    def producer(self, settings: Mapping[str, object]) -> "Producer":
        from confluent_kafka import Producer

        with self.errors():
            return Producer(self._settings(settings))

    def consumer(self, settings: Mapping[str, object]) -> "Consumer":
        from confluent_kafka import Consumer

        with self.errors():
            return Consumer(self._settings(settings))

    def metadata(self, client: Any, topic: str | None = None) -> "ClusterMetadata":
        """What the cluster says of itself. With a topic, raises InvalidError when it does not exist."""
        with self.errors():
            # Asked for all topics, as asking for one by name may create it.
            metadata = client.list_topics(timeout=self.timeout_s)
        if topic is not None and topic not in metadata.topics:
            raise no_topic(topic)
        return metadata  # type: ignore[no-any-return]

    def result(self, future: "Future[T]", what: str = "") -> T:
        """The future's result, or the error as a sentence that names ``what``."""
        with self.errors(what):
            return future.result(self.timeout_s + 5)

    @contextmanager
    def errors(self, what: str = "") -> Iterator[None]:
        from confluent_kafka import KafkaException

        try:
            yield
        except KafkaException as error:
            raise self.sentence(error.args[0], what) from error
        except FutureTimeoutError as error:
            raise self.away() from error
        except (ValueError, TypeError) as error:
            raise InvalidError(f"{what or 'The request'} is not valid: {_sentence_end(str(error))}") from error

    def sentence(self, error: "KafkaError", what: str = "") -> RaylogError:
        """The client's error as ours; ``what`` says what it is about (``Topic 'events'``)."""
        from confluent_kafka import KafkaError

        if error.code() in (
            KafkaError._TRANSPORT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._TIMED_OUT,
            KafkaError._TIMED_OUT_QUEUE,
            KafkaError._MSG_TIMED_OUT,
            KafkaError._RESOLVE,
        ):
            return self.away()
        if error.code() == KafkaError._INVALID_ARG:
            return InvalidError(f"A client setting is wrong: {_sentence_end(error.str())}")
        remedy = _REMEDIES.get(error.name(), "")
        said = _sentence_end(error.str())
        subject = "" if not what or what.lower() in said.lower() else f"{what}: "
        text = f"{subject}{said}{f' {remedy}' if remedy else ''}"
        return RetryError(text) if error.retriable() else InvalidError(text)

    def away(self) -> RetryError:
        return RetryError(
            f"No Kafka broker answers at {self.bootstrap} within {self.timeout_s:g} s: start one with 'raylog serve', or "
            "name another with --bootstrap-server."
        )

    def _settings(self, settings: Mapping[str, object]) -> dict[str, object]:
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": "raylog-cli",
            # The commands say themselves what is wrong.
            "log_level": 0,
            "socket.timeout.ms": max(1000, int(self.timeout_s * 1000)),
            **settings,
            **self.properties,
        }


_REMEDIES = {
    "TOPIC_ALREADY_EXISTS": "Choose another name, or add --if-not-exists.",
    "UNKNOWN_TOPIC_OR_PART": "'raylog topics list' shows the topics.",
    "NON_EMPTY_GROUP": "Stop its consumers first.",
    "GROUP_ID_NOT_FOUND": "'raylog groups list' shows the groups.",
    "UNKNOWN_MEMBER_ID": "The group has running consumers: stop them first.",
    "INVALID_CONFIG": "'raylog topics configs' shows the settings there are.",
    "TOPIC_AUTHORIZATION_FAILED": "Name credentials with --property sasl.username=… and the like.",
    "MSG_SIZE_TOO_LARGE": "Raise the topic's max.message.bytes and give --property message.max.bytes=….",
}


def no_topic(topic: str) -> InvalidError:
    return InvalidError(
        f"There is no topic '{topic}': create it with 'raylog topics create {topic}', or see 'raylog topics list'."
    )


def _sentence_end(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
