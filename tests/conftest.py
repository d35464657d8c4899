"""Fixtures for every kind of test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("raylog", deadline=None)
settings.load_profile("raylog")
"""No bound by the wall clock: the machine may be busy."""


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes and starts clusters in this process (tests/harness); all of them are stopped in the end."""
    # Imported here, so that tests of a part run while another part does not.
    from tests.harness.cluster import running

    with ExitStack() as stack:

        def make(folder: Path = tmp_path, **options: Any) -> Any:
            return stack.enter_context(running(folder, **options))

        yield make


@pytest.fixture
def cluster(make_cluster: Callable[..., Any]) -> Any:
    """A cluster of two leaders per WAL class and one gateway, with all of its state in the test's folder."""
    return make_cluster()
