"""The few error classes, split by what the caller does about them.

The Kafka error code for a client is chosen once, where the answer is made. A message is one readable sentence.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class RaylogError(Exception):
    """Base of all errors that Raylog raises on purpose."""


class RetryError(RaylogError):
    """Not now: the same call may succeed later (throttling, a time-out, a store that is away)."""


class StaleRouteError(RaylogError):
    """The one asked does not lead this (any more): refresh the route, then ask again."""


class UnansweredError(StaleRouteError):
    """The one asked went away with the request: refresh the route too, but whether it did what was asked nobody knows."""


class FencedError(RaylogError):
    """Another writer has taken the log over. The holder acknowledges nothing more and exits."""


class InvalidError(RaylogError):
    """The caller's input is wrong; asking again changes nothing."""


class CorruptError(RaylogError):
    """Stored or received bytes are not what their checksum, magic or version promises."""


class NewerFormatError(CorruptError):
    """The bytes are whole, but a newer Raylog wrote them: this one refuses them and never guesses. The message says so."""


class NotFoundError(RaylogError):
    """No object has this key."""


class AlreadyExistsError(RaylogError):
    """A put-if-absent found the key taken."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Have a CorruptError of what runs in here name ``what`` was read, such as an object of the bucket: decoders do not know."""
    try:
        yield
    except CorruptError as error:
        raise type(error)(f"{what} cannot be read: {error}") from error
