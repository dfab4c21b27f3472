"""Spot nodes under a fleet that comes and goes: the pool's own plan at each node count, weighed by its share of time.

`policies.nodepools.spot` knows a constant need. A fleet's need moves: at each node count that a run held, its plan is
taken as if that count had always been needed; the spares that a change of need would lack meanwhile are not counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policies.nodepools.spec import PoolSpec
from policies.nodepools.spot import SpotPlan, spot_plan

_MOST_PLANS = 40
"""Node counts that are planned one by one; between them costs are interpolated."""

MISSES_LEFT = 0.1
"""Of the misses that are allowed, the share that preemptions may cause; the rest is the autoscaler's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotShare:
    """usd_per_hour: mean over the time. spot_share: of the node-hours, spares included. plans: at node counts."""

    usd_per_hour: float
    spot_share: float
    plans: Mapping[int, SpotPlan]


def spot_share(pool: PoolSpec, shares: Mapping[int, float], *, replace_seconds: float, attainment: float) -> SpotShare:
    """The pool's plan for a fleet that held each node count of `shares` for that share of the time. Raises BadInput.

    replace_seconds: from losing a node to serving on another. attainment: asked of the whole. The pool's quota holds
    spares as well; counts beyond it are on demand.
    """
    counts = sorted(shares)
    planned = counts
    if len(counts) > _MOST_PLANS:
        places = np.linspace(0, len(counts) - 1, _MOST_PLANS).round().astype(int)
        planned = [counts[place] for place in sorted(set(places.tolist()))]
    available = 1.0 - MISSES_LEFT * (1.0 - attainment)
    plans = {
        count: spot_plan(
            pool, count, replace_seconds=replace_seconds, attainment=available, most_nodes=pool.quota_nodes
        )
        for count in planned
    }
    usd = np.interp(counts, planned, [plans[count].usd_per_hour for count in planned])
    spot = np.interp(counts, planned, [plans[count].spot_nodes for count in planned])
    steady = np.interp(counts, planned, [plans[count].on_demand_nodes for count in planned])
    weights = np.array([shares[count] for count in counts])
    nodes = float(((spot + steady) * weights).sum())
    return SpotShare(
        usd_per_hour=float((usd * weights).sum()),
        spot_share=float((spot * weights).sum()) / nodes if nodes else 0.0,
        plans=plans,
    )
