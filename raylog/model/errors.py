"""The few error classes, split by what the caller does about them.

The Kafka error code for a client is chosen once, where the answer is made. A message is one readable sentence.
"""


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


class NotFoundError(RaylogError):
    """No object has this key."""


class AlreadyExistsError(RaylogError):
    """A put-if-absent found the key taken."""
