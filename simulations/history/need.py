"""How many replicas each moment needed, so that so many of its requests meet the SLO: the yardstick of a report."""

from dataclasses import dataclass

import numpy as np

from simulations.counts.capacity import highest_utilization
from simulations.counts.demand_counts import BIN_SECONDS, F8
from simulations.counts.run import CountWorld

_SMOOTHED_BINS = 5
"""Centred: what comes within a minute waits or is served, single bins are chance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Need:
    """replicas: not rounded, shape (bins,). attainable: the most that any number of replicas delivers, in [0, 1]."""

    replicas: F8
    attainable: float


def need_for(world: CountWorld, attainment: float) -> Need:
    """Steady replicas for each bin's requests, by the serving curve; at least what the KV cache takes.

    A step lasts base / (1 - share) where requests take that share of a replica's time (simulations/counts/capacity.py).
    Where the curve never attains so much, the lightest load that it knows is taken.
    """
    curve, profile, counts = world.curve, world.profile, world.counts
    enough = np.flatnonzero(curve.attainment >= attainment)
    step = float(curve.step_seconds[enough[-1] if len(enough) else 0])
    share = 1.0 - profile.base_seconds / step
    allowed = np.minimum(highest_utilization(counts, profile, world.slo.tpot_seconds), share)
    replicas = counts.work_seconds(profile) / BIN_SECONDS / allowed
    width = min(_SMOOTHED_BINS, len(replicas))
    weights = np.convolve(np.ones(len(replicas)), np.ones(width), mode="same")
    return Need(
        replicas=np.convolve(replicas, np.ones(width), mode="same") / weights,
        attainable=float(curve.attainment[0]),
    )


def largest_rise(need: F8, bins: int) -> F8:
    """At each bin, how much more is needed than at the least of the `bins` before it; shape (bins,), 0 or more."""
    padded = np.concatenate([np.full(bins, need[0]), need])
    least = np.lib.stride_tricks.sliding_window_view(padded, bins + 1).min(axis=1)
    rise: F8 = need - least
    return rise
