"""A role does not outlive the raylet that has started it."""

import itertools

from actors.parent import EXIT_ORPHANED, end_with_parent
from raylog.model.logs import role_logger


def test_a_process_whose_parent_has_ended_ends_too() -> None:
    parents = itertools.chain([7, 7, 7], itertools.repeat(1))
    codes: list[int] = []
    watcher = end_with_parent(role_logger("test"), parent=lambda: next(parents), end=codes.append, every_s=0.0)
    watcher.join(10)
    assert codes == [EXIT_ORPHANED]
