"""Random lives of a partition, crashes included, against a model that is a plain list of batches.

The model knows which batches exist, which are durable, in slots, lost. Whatever it remembers of producers it computes anew
from that list each time; the partition must answer the same from its windows, checkpoints and replays.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from kio.schema.errors import ErrorCode

from raylog.model.ids import LeaderEpoch
from raylog.partition.outcomes import Appended, Duplicate, PlacedBatch, Rejected
from raylog.protocol.batch import headers

PRODUCERS = (1, 2)


@dataclass
class Sent:
    """A batch in the model's log."""

    producer: tuple[int, int, int] | None
    count: int
    placed: PlacedBatch

    @property
    def last_sequence(self):
        return self.producer[2] + self.count - 1


class PartitionMachine(RuleBasedStateMachine):
    lab = None

    def __init__(self):
        super().__init__()
        self.epoch = 0
        self.partition = self.lab.partition(epoch=0)
        self.bucket = self.lab.Bucket()
        self.log: list[Sent] = []
        self.flushed = self.durable = 0  # numbers of batches
        self.log_start = 0
        self.checkpoints = [(None, 0)]
        self.acknowledged = {}
        self.high_watermark = 0

    # What the model thinks

    def history(self, producer_id):
        """The producer's batches of its newest epoch."""
        mine = [sent for sent in self.log if sent.producer and sent.producer[0] == producer_id]
        return [sent for sent in mine if sent.producer[1] == mine[-1].producer[1]]

    def end_offset(self, batches):
        return self.log[batches - 1].placed.last_offset + 1 if batches else 0

    def expected(self, producer, count):
        if producer is None or not (history := self.history(producer[0])):
            return Appended
        _, epoch, first = producer
        known = history[-1].producer[1]
        if epoch == known:
            for sent in history[-5:]:
                if (sent.producer[2], sent.count) == (first, count):
                    return sent
            return Appended if first == history[-1].last_sequence + 1 else ErrorCode.out_of_order_sequence_number
        if epoch < known:
            return ErrorCode.invalid_producer_epoch
        return Appended if first == 0 else ErrorCode.out_of_order_sequence_number

    # What clients do

    def send(self, producer, count):
        wanted = self.expected(producer, count)
        end = self.partition.log_end_offset
        outcome = self.lab.append(self.partition, self.lab.batch(count, producer=producer))
        if isinstance(wanted, Sent):
            assert outcome == Duplicate(wanted.placed.base_offset, wanted.placed.last_offset, -1)
        elif wanted is Appended:
            assert (outcome.base_offset, outcome.last_offset) == (end, end + count - 1)
            (placed,) = outcome.batches
            self.log.append(Sent(producer, count, placed))
        else:
            assert isinstance(outcome, Rejected)
            assert outcome.error_code == wanted
            assert outcome.answer_after == end

    @rule(count=st.integers(1, 3))
    def send_plain(self, count):
        self.send(None, count)

    @rule(producer_id=st.sampled_from(PRODUCERS), count=st.integers(1, 3))
    def send_next(self, producer_id, count):
        history = self.history(producer_id) if self.has_history(producer_id) else []
        epoch, first = (history[-1].producer[1], history[-1].last_sequence + 1) if history else (0, 0)
        self.send((producer_id, epoch, first), count)

    @precondition(lambda self: any(sent.producer for sent in self.log))
    @rule(data=st.data())
    def send_again(self, data):
        recent = [sent for sent in self.log if sent.producer][-12:]
        sent = data.draw(st.sampled_from(recent))
        self.send(sent.producer, sent.count)

    @rule(producer_id=st.sampled_from(PRODUCERS), rise=st.integers(-1, 1), skip=st.integers(0, 1))
    def send_in_another_epoch(self, producer_id, rise, skip):
        epoch = self.history(producer_id)[-1].producer[1] if self.has_history(producer_id) else 1
        self.send((producer_id, max(epoch + rise, 0), skip), 1)

    def has_history(self, producer_id):
        return any(sent.producer and sent.producer[0] == producer_id for sent in self.log)

    # What the leader does

    @precondition(lambda self: self.durable < len(self.log))
    @rule(data=st.data())
    def wal_syncs(self, data):
        self.become_durable(data.draw(st.integers(self.durable + 1, len(self.log))))

    @precondition(lambda self: self.flushed < len(self.log))
    @rule(data=st.data(), row_bytes=st.sampled_from([1, 300]))
    def slot_is_written(self, data, row_bytes):
        end = data.draw(st.integers(self.flushed + 1, len(self.log)))
        slot = self.bucket.write([sent.placed for sent in self.log[self.flushed : end]], row_bytes=row_bytes)
        self.partition.slot_flushed(self.lab.leader, slot.number, slot.rows, slot.producers)
        self.flushed = end
        if end > self.durable:
            self.become_durable(end)

    def become_durable(self, batches):
        self.partition.durable(self.end_offset(batches))
        self.durable = batches
        for sent in self.log[:batches]:
            self.acknowledged[sent.placed.base_offset] = bytes(self.lab.joined([sent.placed]))

    @rule()
    def checkpoint(self):
        self.checkpoints.append((self.partition.snapshot(), len(self.bucket.slots)))

    @precondition(lambda self: self.log_start < self.partition.high_watermark)
    @rule(data=st.data())
    def delete_records(self, data):
        """The event lies in a slot with all that was in the write buffer, as the leader cuts it."""
        self.log_start = data.draw(st.integers(self.log_start + 1, self.partition.high_watermark))
        batches = [sent.placed for sent in self.log[self.flushed :]]
        slot = self.bucket.write(batches, log_start_offset=self.log_start)
        self.partition.slot_flushed(self.lab.leader, slot.number, slot.rows, slot.producers)
        self.flushed = len(self.log)
        self.become_durable(self.flushed)
        self.partition.log_start_durable(self.partition.delete_records(self.log_start))

    @rule(data=st.data())
    def crash(self, data):
        """What is durable comes back, and perhaps some of what was on its way; nothing else."""
        survivors = data.draw(st.integers(self.durable, len(self.log)))
        snapshot, slots = data.draw(st.sampled_from(self.checkpoints))
        partition = self.lab.partition(epoch=None, snapshot=snapshot)
        self.bucket.replay_into(partition, after=slots)
        wal_start = data.draw(st.integers(0, self.flushed))
        for sent in self.log[wal_start:survivors]:
            records = self.lab.joined([sent.placed])
            found = partition.replay_batches(records, headers(records), now_ms=self.lab.now_ms)
            assert [batch[:2] for batch in found] in ([], [sent.placed[:2]])
        self.epoch += data.draw(st.integers(1, 2))
        partition.become_leader(LeaderEpoch(self.epoch))
        del self.log[survivors:]
        self.partition, self.durable = partition, survivors
        self.become_durable(survivors)
        assert partition.log_end_offset == self.end_offset(survivors)

    # What must hold

    @invariant()
    def the_partitions_own_invariants_hold(self):
        self.partition.validate()

    @invariant()
    def offsets_are_those_of_the_model(self):
        partition = self.partition
        assert partition.log_end_offset == self.end_offset(len(self.log))
        assert partition.high_watermark == self.end_offset(self.durable)
        assert partition.flushed_end_offset == self.end_offset(self.flushed)
        assert partition.log_start_offset == self.log_start
        assert partition.high_watermark >= self.high_watermark
        self.high_watermark = partition.high_watermark

    @invariant()
    def acknowledged_batches_keep_their_offsets_and_bytes(self):
        for sent in self.log[: self.durable]:
            assert self.acknowledged[sent.placed.base_offset] == self.lab.joined([sent.placed])
        assert len(self.acknowledged) == self.durable

    @invariant()
    def the_index_leads_to_every_flushed_record_above_the_log_start(self):
        offset = self.log_start
        for entry in self.partition.index:
            batches = list(headers(self.bucket.read(entry.number, entry.position, entry.size_bytes)))
            assert (batches[0].base_offset, batches[-1].last_offset) == (entry.first_offset, entry.last_offset)
            assert entry.first_offset <= offset <= entry.last_offset
            offset = entry.last_offset + 1
        assert offset >= self.end_offset(self.flushed)

    @invariant()
    def leader_epochs_are_those_written_in_the_batches(self):
        for sent in self.log:
            if sent.placed.base_offset >= self.log_start:
                assert self.partition.epochs.epoch_at(sent.placed.base_offset) == sent.placed.leader_epoch


def test_a_partition_lives_as_its_model(lab):
    PartitionMachine.lab = lab
    run_state_machine_as_test(
        PartitionMachine, settings=settings(max_examples=80, stateful_step_count=40, deadline=None)
    )
