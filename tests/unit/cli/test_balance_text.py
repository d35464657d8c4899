"""Every reason of the planner has its sentence."""

import pytest

from controller.balance.explain import Stay
from controller.balance.plan import Reason, Verdict
from raylog.cli.balance_text import reason, shortage, verdict, why_here

POOL = {"wal": ["file"], "leaders": [1, 2], "use": 0.5, "partitions": 3.0, "verdict": "balanced", "full": False}
MOVE = {"topic": "t", "partition": 3, "from": 1, "to": 2, "load": 4096, "from_use": 0.75, "to_use": 0.5}
SEEN = {"pools": [POOL], "band": 0.2, "moves_max": 50, "load_min": 1 << 18}
STAY = {"topic": "t", "partition": 3, "leader": 1, "wal": "file", "load": 4096, "leader_use": 0.75, "rests_s": 12}


@pytest.mark.parametrize("why", Reason)
def test_every_move_is_explained(why):
    assert "{" not in reason({**MOVE, "reason": why.value}, SEEN)


@pytest.mark.parametrize("why", Verdict)
def test_every_verdict_is_a_sentence(why):
    assert "{" not in verdict({**POOL, "verdict": why.value}, SEEN)


@pytest.mark.parametrize("why", [stay for stay in Stay if stay is not Stay.MOVES])
def test_every_stay_is_explained(why):
    text = why_here({**SEEN, "explanation": {**STAY, "stay": why.value, "move": None, "pool": POOL}})
    assert text.startswith(
        "t:3 is led by leader 1 (WAL class file). Its load is 4 KiB/s; the leader is at 75 % of what it can take.\nIt stays: "
    )
    assert "{" not in text


def test_a_partition_that_would_move_says_where_and_why():
    move = {**MOVE, "reason": "load"}
    text = why_here({**SEEN, "explanation": {**STAY, "stay": "moves", "move": move, "pool": POOL}})
    assert text.endswith("It would move to leader 2: leader 1 is at 75 %, the mean is 50 %; leader 2 will be at 50 %.")


def test_a_shortage_names_the_remedy():
    text = shortage({"wal": "nfs", "dedicated": True, "partitions": 4})
    assert text == (
        "WAL class nfs: 4 partitions wait, as each needs a leader of its own and too few are there: "
        "add nodes that serve the class."
    )
