"""WAL classes by URL: what each parameter sets, and one clear sentence for each mistake."""

import os
from pathlib import Path

import pytest

from raylog.model.clock import SystemClock
from raylog.model.errors import InvalidError
from raylog.model.ids import LeaderId, LogEpoch
from raylog.storage.file_wal import FileWal
from raylog.storage.object_wal import ObjectWal
from raylog.storage.wal_class import open_wal, parse_size, parse_wal_class


def test_a_file_class_with_all_its_parameters() -> None:
    made = parse_wal_class(
        "fast",
        "file:///mnt/wal%20disk?capacity=1GiB&segment=8MiB&flush_interval_ms=5000&flush_bytes=32MiB&inline_commit_ms=0&inline_commit_bytes=4KiB",
    )
    assert made.kind == "file" and made.mount == Path("/mnt/wal disk")
    assert made.limits.capacity_bytes == 1 << 30 and made.limits.segment_bytes == 8 << 20
    assert made.limits.inline_commit_ms_max == 0 and made.limits.inline_commit_bytes_max == 4 << 10
    assert made.flush_policy.interval_ms == 5000 and made.flush_policy.max_bytes == 32 << 20
    assert not made.flush_policy.immediate


def test_the_defaults() -> None:
    file = parse_wal_class("file", "file:///mount")
    assert (file.limits.capacity_bytes, file.limits.segment_bytes) == (8 << 30, 64 << 20)
    assert (file.flush_policy.interval_ms, file.flush_policy.max_bytes) == (10_000, 64 << 20)
    cheap = parse_wal_class("object", "object:")
    assert (cheap.flush_policy.interval_ms, cheap.flush_policy.max_bytes) == (250, 8 << 20)
    assert cheap.flush_policy.immediate


def test_an_object_class_for_express() -> None:
    assert parse_wal_class("express", "object:?interval_ms=15&max_bytes=4MiB").flush_policy.interval_ms == 15


@pytest.mark.parametrize(
    ("name", "url", "says"),
    [
        ("Fast", "object:", "lower-case"),
        ("fast", "/mnt/wal", "file:///"),
        ("fast", "nfs://server/export", "must begin with"),
        ("fast", "file://host/mount", "absolute path"),
        ("fast", "file:relative", "absolute path"),
        ("fast", "file:///m?segmnt=1MiB", "it may have capacity, segment"),
        ("fast", "file:///m?segment=1MB", "segment='1MB'"),
        ("fast", "file:///m?segment=10KiB", "the least is 1MiB"),
        ("fast", "file:///m?capacity=100MiB", "needs 256MiB"),
        ("fast", "file:///m?capacity=256MiB&segment=128MiB", "four segments"),
        ("fast", "file:///m?flush_bytes=1KiB", "64KiB"),
        ("fast", "file:///m?flush_interval_ms=0", "flush_interval_ms='0'"),
        ("fast", "file:///m?inline_commit_ms=nan", "inline_commit_ms='nan'"),
        ("fast", "file:///m?label=", "label=''"),
        ("fast", "file:///m?resource=two+words", "name of a resource"),
        ("fast", "file:///m?label=disk&resource=disk", "one of them is enough"),
        ("cheap", "object://bucket", "own bucket"),
        ("cheap", "object:?interval_ms=soon", "interval_ms='soon'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(name: str, url: str, says: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_wal_class(name, url)
    sentence = str(caught.value)
    assert says in sentence and name in sentence and sentence.endswith(".") and "\n" not in sentence


def test_a_class_says_which_nodes_have_its_mount() -> None:
    assert parse_wal_class("fast", "file:///m?label=raylog.io/disk&segment=1MiB").label == "raylog.io/disk"
    assert parse_wal_class("fast", "file:///m?resource=nfs").resource == "nfs"
    everywhere = parse_wal_class("fast", "file:///m")
    assert (everywhere.label, everywhere.resource) == ("", "")


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("4096", 4096), ("1KiB", 1024), ("64 MiB", 64 << 20), ("2GiB", 2 << 30), ("7B", 7)]
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


async def test_a_class_opens_its_leaders_wal(tmp_path: Path) -> None:
    file = open_wal(parse_wal_class("file", tmp_path.as_uri()), LeaderId(12), clock=SystemClock())
    assert isinstance(file, FileWal)
    await file.open(LogEpoch(1))
    await file.close()
    assert os.listdir(tmp_path) == ["leader-000012"]
    assert isinstance(open_wal(parse_wal_class("object", "object:"), LeaderId(1), clock=SystemClock()), ObjectWal)
