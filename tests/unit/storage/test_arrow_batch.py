"""Columns become what Arrow itself makes of them, byte for byte."""

from array import array

import pyarrow as pa
import pytest

from raylog.storage.arrow_batch import BatchEncoder

SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("short", pa.int16(), nullable=False),
        pa.field("int", pa.int32(), nullable=False),
        pa.field("long", pa.int64(), nullable=False),
    ]
)
COLUMNS = (
    (b"\x00" * 16, b"\xff" * 16, b"0123456789abcdef"),
    (-(1 << 15), 0, (1 << 15) - 1),
    array("i", [-(1 << 31), 0, (1 << 31) - 1]),
    [-(1 << 63), 0, (1 << 63) - 1],
)


def test_a_batch_has_the_bytes_that_arrow_gives_it() -> None:
    arrays = [pa.array(column, type=field.type) for column, field in zip(COLUMNS, SCHEMA, strict=True)]
    batch = BatchEncoder(SCHEMA).batch(COLUMNS)
    batch.validate(full=True)
    assert batch.serialize() == pa.RecordBatch.from_arrays(arrays, schema=SCHEMA).serialize()


def test_a_batch_keeps_its_values_when_a_column_changes_later() -> None:
    longs = array("q", [1, 2])
    batch = BatchEncoder(pa.schema([SCHEMA.field("long")])).batch([longs])
    longs.append(3)
    longs[0] = 9
    assert batch.column(0).to_pylist() == [1, 2]


def test_a_number_too_great_for_its_column_is_an_error() -> None:
    with pytest.raises(OverflowError):
        BatchEncoder(pa.schema([SCHEMA.field("short")])).batch([[1 << 15]])
