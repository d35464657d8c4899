"""How roles call the controller through Ray: one method, plain values both ways, and errors as values.

A custom exception raised in an actor would reach the caller wrapped and pickled; an ``Outcome`` keeps the error's class by name
and its sentence. Calls are idempotent (raylog/model/admin.py), because a call that Ray reports as unavailable may have run.
"""

from dataclasses import dataclass
from typing import Any

from raylog.model.errors import (
    AlreadyExistsError,
    CorruptError,
    FencedError,
    InvalidError,
    NotFoundError,
    RaylogError,
    RetryError,
    StaleRouteError,
)

_ERRORS: dict[str, type[RaylogError]] = {
    cls.__name__: cls
    for cls in (
        RetryError,
        StaleRouteError,
        FencedError,
        InvalidError,
        CorruptError,
        NotFoundError,
        AlreadyExistsError,
        RaylogError,
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call's value, or its error's class name and message."""

    value: Any = None
    error: str = ""
    message: str = ""

    @classmethod
    def of_error(cls, error: RaylogError) -> "Outcome":
        name = type(error).__name__
        return cls(error=name if name in _ERRORS else RaylogError.__name__, message=str(error))

    def unwrap(self) -> Any:
        if self.error:
            raise _ERRORS[self.error](self.message)
        return self.value
