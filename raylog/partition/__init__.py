"""The log of one partition as a state machine: events and the time go in, decisions come out. No I/O, no clock, no chance.

- ``partition``: append, durability, fetch bounds, replay; composes the parts below.
- ``outcomes``: the plain values that a partition answers with.
- ``config``: the topic settings that an append or a fetch looks at.
- ``offset_index``: where flushed batches lie in the bucket.  ``tail``: what is appended but not yet flushed.
- ``producer_state``: idempotent producers.  ``transactions``: last stable offset, aborted transactions.
- ``leader_epochs``: which leader epoch began at which offset.
- ``flushed_state``: what the leader log's slots alone say; the content of checkpoints.
- ``list_offsets``: ListOffsets in all its forms.  ``record_checks``: whether a topic takes a batch.
- ``fetch_waits``: fetches that wait for bytes.
"""
