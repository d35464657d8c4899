"""What became of a partition after its handover was written, on its way from its leader over the controller to its next one."""

from collections.abc import Mapping
from typing import Any

Changes = Mapping[str, Any]
"""JSON values, made and understood by ``raylog.partition.changes`` alone."""
