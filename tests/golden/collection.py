"""All golden files."""

from tests.golden.between_roles import BETWEEN_ROLES
from tests.golden.kafka import KAFKA
from tests.golden.metadata import METADATA
from tests.golden.objects import OBJECTS
from tests.golden.wal import FILE_WAL

GOLDEN = [*OBJECTS, *METADATA, *FILE_WAL, *BETWEEN_ROLES, *KAFKA]

EARLIER = ["slot-v1.bin", "data-object-meta-v1.bin", "segment-v1.bin", "handover-v1.bin"]
"""Files of smaller parts, which the tests of ``raylog.storage`` keep."""
