"""What requests to the bucket cost by S3's list prices: us-east-1, S3 Standard and S3 Express One Zone, in dollars.

Sources: the request table of aws.amazon.com/s3/pricing, and for Express the worked examples of aws.amazon.com/s3/faqs. Storage
and bytes (which Express charges for as well) are left out: an experiment is too short for them to be of weight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AS_OF: Final = "2026-11"
"""When the prices were looked up."""
_WRITES: Final = frozenset(("put", "put_if_absent", "list"))
_READS: Final = frozenset(("get", "head"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Dollars for 1,000 requests; DELETE is free."""

    name: str
    writes: float
    """PUT and LIST."""
    reads: float
    """GET and HEAD."""

    def dollars(self, requests: Mapping[str, float]) -> float:
        """Of requests by kind, as the metric ``raylog_store_requests_total`` calls them."""
        writes = sum(count for kind, count in requests.items() if kind in _WRITES)
        reads = sum(count for kind, count in requests.items() if kind in _READS)
        return (writes * self.writes + reads * self.reads) / 1000


STANDARD: Final = Prices(name="S3 Standard", writes=0.005, reads=0.0004)
EXPRESS: Final = Prices(name="S3 Express One Zone", writes=0.00113, reads=0.00003)


def for_latency(model: str) -> Prices:
    """Those of the class whose latency model a local bucket has; of Standard where it has none."""
    return EXPRESS if model == "s3-express" else STANDARD
