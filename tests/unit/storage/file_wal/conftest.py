"""The folder of one leader's WAL."""

from pathlib import Path

import pytest

from raylog.storage.wal_disk import PosixDisk


@pytest.fixture
def disk(tmp_path: Path) -> PosixDisk:
    return PosixDisk(tmp_path, "leader-000001")
