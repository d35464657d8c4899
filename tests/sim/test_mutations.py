"""Each guard of the production code is switched off in turn, and the simulation must notice within the default seeds.

Some guards only matter in meetings too rare for random trouble: the order of a WAL's sync and its look at the fence, what a
fenced writer still syncs after its successor's look, or between those of two successors, the proof of recency after a long
pause (leader logs keep every slot that holds records, so only the metadata log frees numbers), a release that nobody heard of,
an adoption that the WAL alone has, garbage collections that stop half-way, all that goes by the bucket. These have directed
scenarios.
"""

import pytest

from tests.sim import move_mutations, upload_mutations
from tests.sim.mutations import MUTATIONS
from tests.sim.pool import run_seeds
from tests.sim.run import Report, simulate
from tests.sim.scenarios import SCENARIOS

SEEDS = 300
DIRECTED_SEEDS = 6
DIRECTED = {"fence_check_before_sync": "live_takeovers", "proof_after_a_long_pause": "sleeping_controller"}
DIRECTED |= {"cuts_of_fenced_epochs": "live_takeovers", "fence_look_after_the_reading": "crossed_takeovers"}
DIRECTED |= {"segments_behind_one_that_is_gone": "crossed_takeovers"}
DIRECTED |= {"garbage_grace_time": "collected_controller", "garbage_is_what_no_row_names": "sleeping_collector"}
DIRECTED |= {"garbage_is_listed_before_it_is_marked": "sleeping_collector"}
DIRECTED |= upload_mutations.SCENARIO_OF | move_mutations.SCENARIO_OF
LIKELY = {"epoch_check_at_replay": 57, "in_order_acknowledgement": 1, "fence_check_before_sync": 13}
LIKELY |= {"orphan_rule_of_the_writer": 7, "adoption_settles_with_its_slot": 1, "duplicates_wait_for_durability": 16}
LIKELY |= {
    "changes_after_the_handover_are_told": 4,
    "floor_of_what_was_handed_over": 4,
    "epoch_above_the_last_leaders": 4,
}
LIKELY |= {"swap_looks_at_the_rows": 3, "shown_only_when_durable": 1, "orphan_rule_of_the_opener": 6}
LIKELY |= {"slots_that_name_uploads_are_in_time": 17, "segments_behind_one_that_is_gone": 2}
LIKELY |= {"fence_check_after_sync": 22, "epoch_check_of_the_writer": 1, "writer_id_check": 7, "answer_lost_check": 7}
"""Where each was found last: tried first."""


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in DIRECTED])
def test_a_guard_switched_off_is_noticed(name: str) -> None:
    for seed in dict.fromkeys((LIKELY.get(name, 0), *range(SEEDS))):
        if _with(name, str(seed)).anomalies:
            return
    pytest.fail(f"no seed of {SEEDS} notices that {name} is off")


@pytest.mark.parametrize(("name", "scenario"), DIRECTED.items())
def test_a_guard_switched_off_is_noticed_by_its_scenario(name: str, scenario: str) -> None:
    shape, trouble = SCENARIOS[scenario]
    for seed in dict.fromkeys((LIKELY.get(name, 0), *range(2 * DIRECTED_SEEDS))):
        if _with(name, f"{scenario}/{seed}", shape=shape, trouble=trouble).anomalies:
            return
    pytest.fail(f"no seed of {2 * DIRECTED_SEEDS} notices that {name} is off")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_finds_nothing_while_all_guards_are_on(scenario: str) -> None:
    for outcome in run_seeds(f"{scenario}/{seed}" for seed in range(DIRECTED_SEEDS)):
        assert not outcome.anomalies, f"again: make sim SEED={outcome.seed}\n{outcome.text}"


def _with(name: str, seed: str, **options: object) -> Report:
    with MUTATIONS[name]():
        return simulate(seed, **options)
