"""The cluster's size as plain values, JSON-able: what ``raylog status`` and ``raylog balance`` show of it."""

from controller.scaling.scaler import SizeLook
from controller.scaling.views import Demand, Standing


def describe(look: SizeLook) -> dict[str, object]:
    plan, need = look.plan, look.plan.need
    return {
        "verdict": plan.verdict.value,
        "node": plan.node or None,
        "wanted": plan.wanted,
        "serving": plan.serving,
        "needed": need.unbounded,
        "nodes_min": look.goals.nodes_min,
        "nodes_max": look.goals.nodes_max,
        "use_aimed_at": look.goals.use,
        "up_s": look.goals.up_s,
        "down_s": look.goals.down_s,
        "demand": None if need.demand is None else _demand(need.demand),
        "demands": [_demand(demand) for demand in look.sight.demands],
        "leaving": [node.name for node in look.sight.nodes if node.standing is Standing.LEAVING],
        "given_back": [node.name for node in look.sight.nodes if node.standing is Standing.LEFT],
        "staying": {name: why.value for name, why in plan.staying.items()},
        "asked_for": None if plan.request is None else len(plan.request.rooms),
    }


def _demand(demand: Demand) -> dict[str, object]:
    return {"kind": demand.kind.value, "wal": demand.wal_class or None, "use": round(demand.use, 4)}
