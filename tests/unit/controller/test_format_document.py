"""docs/format.md keeps up with the code."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from controller.records import _TYPES as RECORDS
from raylog.storage.data_object import _INDEX_SCHEMA, _PRODUCERS_SCHEMA
from raylog.storage.slot_events import _TYPES as EVENTS

TEXT = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "record_type"), [*RECORDS.items(), *EVENTS.items()])
def test_every_record_and_event_is_there_with_its_fields(name, record_type):
    [row] = re.findall(rf"^\| `{name}` \| (.*?) \|", TEXT, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [field.name for field in fields(record_type)]


@pytest.mark.parametrize("column", sorted({*_INDEX_SCHEMA.names, *_PRODUCERS_SCHEMA.names}))
def test_every_column_is_there(column):
    assert f"`{column}`" in TEXT
