"""How many on-demand nodes as a base, and how many spot nodes above the need, are cheapest at an asked attainment.

Model. `nodes` are needed all the time, and a moment with fewer is a missed one, however few are lacking.
  - A spot node is taken by itself after an exponential time at rate p per hour, and replaced after an exponential
    time of mean L (node, image, model load). Alone it is there a share a = 1 / (1 + p L) of the time: mean time up over
    mean cycle (alternating renewal process; Ross, "Introduction to Probability Models", 7.5).
  - All spot nodes of a zone go at once at rate z per hour, those on their way included, and are back together L
    later. A zone is there when no event fell into the last L: with probability exp(-z L), exactly.
  - The zones are independent and hold equally many spot nodes, as nearly as that goes.
So a zone with s nodes has 0 with probability 1 - exp(-z L), else Binomial(s, a); the zones' counts add by
convolution. It is a lower bound on availability, reached as z -> 0: after a zone came back with all its nodes, a node
is up with probability a + (1 - a) exp(-(p + 1/L) t), which is more than a.

Not modelled: on-demand nodes as replacements, prices that move, a notice that gives time to drain, a zone without spot
capacity for longer than L.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.nodepools.spec import PoolSpec, SpotTerms

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotPlan:
    """Nodes of either kind, and what they come to.

    spare_nodes: beyond the need. attainment: share of time with enough nodes, by the model.
    usd_per_hour: spot nodes billed as if they were always there, an upper bound.
    """

    on_demand_nodes: int
    spot_nodes: int
    spare_nodes: int
    attainment: float
    usd_per_hour: float


def spot_plan(
    spec: PoolSpec, nodes: int, *, replace_seconds: float, attainment: float, most_nodes: int | None = None
) -> SpotPlan:
    """The cheapest plan for `nodes` that reaches `attainment`; of equally cheap ones that with most on demand.

    replace_seconds: from losing a node to serving on another (L above). attainment: share of time, in [0.5, 1).
    most_nodes: of both kinds, spares included; None for any. Where spot does not pay or does not reach the attainment,
    every node is on demand. Raises BadInput.
    """
    if not 0.5 <= attainment < 1.0:
        raise BadInput(f"attainment: was {attainment}, must be in [0.5, 1); with 1 no spot node can be relied on")
    if not 0.0 < replace_seconds <= 86_400.0:
        raise BadInput(f"replace_seconds: was {replace_seconds}, must be in (0, 86400]; state the whole lead time")
    price = spec.price_per_node_hour
    best = SpotPlan(on_demand_nodes=nodes, spot_nodes=0, spare_nodes=0, attainment=1.0, usd_per_hour=nodes * price)
    if spec.spot is None:
        return best
    for on_demand in range(nodes - 1, math.ceil(spec.on_demand_base_share * nodes - 1e-9) - 1, -1):
        budget = best.usd_per_hour - on_demand * price
        affordable = math.ceil(budget / spec.spot.price_per_node_hour - 1e-9) - 1
        most = affordable if most_nodes is None else min(affordable, most_nodes - on_demand)
        spot = _fewest_spot_nodes(spec.spot, nodes - on_demand, most, replace_seconds, attainment)
        if spot is None:
            continue
        best = SpotPlan(
            on_demand_nodes=on_demand,
            spot_nodes=spot,
            spare_nodes=on_demand + spot - nodes,
            attainment=share_of_time(spec.spot, spot, nodes - on_demand, replace_seconds),
            usd_per_hour=on_demand * price + spot * spec.spot.price_per_node_hour,
        )
    return best


def share_of_time(terms: SpotTerms, spot_nodes: int, wanted: int, replace_seconds: float) -> float:
    """Share of time in which at least `wanted` of `spot_nodes` are there."""
    return float(_available(terms, spot_nodes, replace_seconds)[max(wanted, 0) :].sum())


def _fewest_spot_nodes(
    terms: SpotTerms, wanted: int, most: int, replace_seconds: float, attainment: float
) -> int | None:
    """Fewest that give `wanted` for long enough and are at most `most`; None where there are none.

    By bisection: one node more is never there less.
    """
    low, high = wanted, most
    if high < low or share_of_time(terms, high, wanted, replace_seconds) < attainment:
        return None
    while low < high:
        middle = (low + high) // 2
        if share_of_time(terms, middle, wanted, replace_seconds) >= attainment:
            high = middle
        else:
            low = middle + 1
    return low


def _available(terms: SpotTerms, spot_nodes: int, replace_seconds: float) -> F8:
    """Probability of each number of spot nodes that are there; shape (spot_nodes + 1,)."""
    replace_hours = replace_seconds / 3_600.0
    node_up = 1.0 / (1.0 + terms.preemptions_per_node_hour * replace_hours)
    zone_up = math.exp(-terms.zone_events_per_hour * replace_hours)
    each, more = divmod(spot_nodes, terms.zones)
    total: F8 = np.ones(1)
    for zone in range(min(terms.zones, spot_nodes)):
        counts = zone_up * _binomial(each + (zone < more), node_up)
        counts[0] += 1.0 - zone_up
        total = np.convolve(total, counts)
    return total


def _binomial(trials: int, probability: float) -> F8:
    """Probabilities of 0 to `trials` successes, by logarithms: no overflow for thousands."""
    if probability == 1.0:
        return np.asarray(np.arange(trials + 1) == trials, np.float64)
    successes = np.arange(trials + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    choose = log_factorials[-1] - log_factorials - log_factorials[::-1]
    log_probability = choose + successes * math.log(probability) + (trials - successes) * math.log1p(-probability)
    return np.asarray(np.exp(log_probability))
