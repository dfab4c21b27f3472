"""Which requests met the SLO, from the fluid's curves: who arrived, who was admitted, how many tokens a batch got.

First come, first served: the request number a was admitted when that many had been. From then on every step gives it a
token, so it has its o tokens when the steps since then are o. Nothing is approximated here beyond the fluid itself.
"""

from dataclasses import dataclass

import numpy as np

from policies.capacity.profile import Profile
from simulations.counts.demand_counts import BIN_SECONDS, F8, Counts
from simulations.counts.serving_curve import ServingCurve
from simulations.slo import SLO

_LEVELS = (1 / 6, 1 / 2, 5 / 6)
"""Answers of three lengths stand for all: the longer ones see more of what comes after."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Curves:
    """Cumulative, at the end of each stretch of time, the first at second zero; shape (stretches + 1,)."""

    seconds: F8
    arrived: F8
    admitted: F8
    steps: F8


def good_requests(curves: Curves, counts: Counts, profile: Profile, slo: SLO, curve: ServingCurve) -> F8:
    """Requests within the SLO by the bin of their arrival; shape (bins,).

    What is not admitted by the end of the run missed it. One that is has the TPOT of the steps that followed, and of
    its like the share that the serving curve shows met both targets; its wait counts on top of the usual TTFT.
    """
    arrivals = np.diff(curves.arrived)
    place = (curves.arrived[:-1] + curves.arrived[1:]) / 2
    at = (curves.seconds[:-1] + curves.seconds[1:]) / 2
    admitted = np.maximum(at, _when(place, curves.admitted, curves.seconds))
    never = place > curves.admitted[-1] + 1e-6
    begin = np.interp(admitted, curves.seconds, curves.steps)
    share = np.zeros(len(at))
    outputs = np.quantile(counts.sample_outputs, _LEVELS)
    last_step = _last_step(curves, profile)
    for tokens in outputs.tolist():
        target = begin + tokens
        beyond = np.maximum(0.0, target - curves.steps[-1])
        finished = _when(np.minimum(target, curves.steps[-1]), curves.steps, curves.seconds) + beyond * last_step
        step = np.maximum((finished - admitted) / tokens, profile.base_seconds)
        usual = np.interp(step, curve.step_seconds, curve.ttft_p50_seconds)
        in_time = (admitted - at) <= slo.ttft_seconds - np.minimum(usual, slo.ttft_seconds)
        share += np.interp(step, curve.step_seconds, curve.attainment) * in_time / len(outputs)
    share[never] = 0.0
    where = np.minimum((at / BIN_SECONDS).astype(np.int64), counts.bins - 1)
    good: F8 = np.bincount(where, weights=share * arrivals, minlength=counts.bins).astype(np.float64)
    return good


def _when(level: F8, curve: F8, seconds: F8) -> F8:
    """When a cumulative curve reached each level; where it is flat, the end of the flat stretch before it rises."""
    rises = np.concatenate([[True], np.diff(curve) > 0])
    ends = np.concatenate([rises[1:], [True]])
    kept = rises | ends
    reached: F8 = np.interp(level, curve[kept], seconds[kept])
    return reached


def _last_step(curves: Curves, profile: Profile) -> float:
    steps = curves.steps[-1] - curves.steps[-2]
    return float((curves.seconds[-1] - curves.seconds[-2]) / steps) if steps > 0 else profile.base_seconds
