"""What Ray does to the arguments and the answer of a call on their way to another process: what is left out there is lost."""

import pickle
from typing import TypeVar

_T = TypeVar("_T")


def as_it_travels(value: _T) -> _T:
    """The value as another process gets it."""
    copy: _T = pickle.loads(pickle.dumps(value))
    return copy
