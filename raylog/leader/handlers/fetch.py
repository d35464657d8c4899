"""Fetch (key 1), versions 4-18: KIP-74 (limits), KIP-98 (isolation), KIP-320 and KIP-595 (epochs), KIP-516 (topic ids, v13).

Internal: a partition whose batches have left memory is answered with a read plan in place of records. Fetch sessions are the
gateway's matter.
"""

from raylog.leader.call import Call
from raylog.leader.registry import handles


@handles(1, 4, 18)
def fetch(call: Call) -> None:
    call.leader.fetcher.serve(call)
