"""Every format is held to the bytes that were once written, and what a newer Raylog wrote is refused with a sentence.

The files are never made anew (``tests.golden.golden`` says how a format gets a new version). A library that encodes the same
Arrow table in other bytes breaks these tests as well: whether older readers understand them is to be seen first.
"""

import re
from pathlib import Path

import pytest

from raylog.model.errors import NewerFormatError
from raylog.storage.keys import ObjectKind
from raylog.storage.slot_format import SlotKind, decode_header
from tests.golden.collection import EARLIER, GOLDEN
from tests.golden.golden import FILES

DOCUMENT = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (.+)$", DOCUMENT, re.MULTILINE)

every = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.file)


@every
def test_what_was_written_once_is_read(golden):
    assert golden.read(golden.path.read_bytes()) == golden.value


@pytest.mark.parametrize("golden", [g for g in GOLDEN if g.write], ids=lambda golden: golden.file)
def test_it_is_written_as_it_always_was(golden):
    assert golden.write() == golden.path.read_bytes()


@pytest.mark.parametrize(
    ("golden", "what"), [(g, what) for g in GOLDEN for what in g.newer], ids=lambda value: getattr(value, "file", value)
)
def test_what_is_newer_is_refused_with_what_to_do(golden, what):
    newer = golden.newer[what](golden.path.read_bytes())
    assert newer != golden.path.read_bytes()
    with pytest.raises(NewerFormatError, match="use a newer Raylog"):
        golden.read(newer)


@every
def test_the_document_describes_it(golden):
    assert golden.section in HEADINGS


def test_every_version_that_is_written_can_be_refused():
    assert [g.file for g in GOLDEN if g.write and g.has_version and not g.newer] == []


def test_no_file_is_left_over():
    assert sorted(path.name for path in FILES.iterdir()) == sorted([*(golden.file for golden in GOLDEN), *EARLIER])


def test_every_kind_of_object_and_slot_is_there():
    """An object kind that is added needs a golden file; its name begins as the key's folder does, or as the kind is called."""
    names = " ".join(golden.file for golden in GOLDEN)
    without_format = {ObjectKind.SELF_TEST, ObjectKind.UNKNOWN}
    assert [kind for kind in ObjectKind if kind not in without_format and f"leader-{kind}-v" not in names] == []
    objects = [golden.path.read_bytes() for golden in GOLDEN if golden.path.read_bytes().startswith(b"RAYLOG\r\n")]
    assert {decode_header(data, "k").kind for data in objects} == set(SlotKind)
