"""The golden files of what gateways and leaders send each other in the place of batches, which is kept nowhere."""

from raylog.protocol.batch import Record, encode_batch, read_header
from raylog.storage.read_plan import ObjectRange, decode_read_plan, encode_read_plan
from raylog.storage.reference import Reference, decode_reference, encode_reference
from tests.golden.golden import Golden, with_bytes
from tests.golden.partitions import UPLOAD_NUMBER

PLAN = (
    ObjectRange("leaders/000003/log/00000000000000000042", 64, 2**32 - 1, 0, 99),
    ObjectRange("leaders/000003/log/00000000000000000042", 2**40, 25, 150, 150),
    ObjectRange("segments/02387225703656530000", 64, 1, 2**62, 2**62 + 2**32 - 1),
)
PLAN_WITH_UPLOADS = (*PLAN, ObjectRange("uploads/03565158400000012345", 64, 70, 2**62 + 2**32, 2**62 + 2**32 + 8, 0))

BATCH = encode_batch(
    [Record(value=b"value", timestamp_ms=1_700_000_000_000)], producer_id=1000, producer_epoch=3, base_sequence=7
)

BETWEEN_ROLES = [
    Golden(
        file="read-plan-v1.bin",
        section="Read plan",
        read=decode_read_plan,
        value=PLAN,
        write=lambda: encode_read_plan(PLAN),
        newer={"plan": lambda data: with_bytes(data, 4, b"\3")},
    ),
    Golden(
        file="read-plan-v2.bin",
        section="Read plan",
        read=decode_read_plan,
        value=PLAN_WITH_UPLOADS,
        write=lambda: encode_read_plan(PLAN_WITH_UPLOADS),
        newer={"plan": lambda data: with_bytes(data, 4, b"\3")},
    ),
    Golden(
        file="reference-v1.bin",
        section="Reference",
        read=decode_reference,
        value=Reference(upload=UPLOAD_NUMBER, position=2**40, header=read_header(BATCH)),
        write=lambda: encode_reference(UPLOAD_NUMBER, 2**40, BATCH),
        newer={"reference": lambda data: with_bytes(data, 4, b"\2")},
    ),
]
