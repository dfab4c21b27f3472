"""How many replicas each bin's requests need, and how far to thin a demand so that its peak needs so many."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from policies.capacity.profile import Profile
from policies.errors import BadInput
from simulations.counts.demand_counts import BIN_SECONDS, F8, Counts, count
from simulations.demand.drawn import Drawn
from simulations.demand.transformations import thinned
from simulations.trace import Demand

_PEAK_BINS = 20
"""The peak is the largest mean of 5 min: shorter bursts are absorbed or given up, not provided for."""

_QUARTER_BINS = 900 // BIN_SECONDS
_START_MARGIN = 1.5

_COARSE_REQUESTS = 1_000_000


def highest_utilization(counts: Counts, profile: Profile, tpot_seconds: float) -> F8:
    """Share of a replica's time that the bin's mix may take within the mean TPOT and the KV cache; shape (bins,).

    A step lasts base / (1 - share) (simulations/calibration/steady_state.py), so TPOT bounds the share by
    1 - base / TPOT. The batch is share / work * output * step; where it fills cache or seats, share / (1 - share) is
    batch * work / (output * base). Bins without requests have the bound by TPOT. Raises BadInput when that is none.
    """
    by_tpot = 1.0 - profile.base_seconds / tpot_seconds
    if by_tpot <= 0:
        raise BadInput(
            f"tpot_seconds: was {tpot_seconds:g}, must be above {profile.base_seconds:g}, the step time of "
            f"{profile.name} with an empty batch; relax the target or choose a faster GPU"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        context = counts.kv_token_steps / counts.output_tokens
        batch = np.minimum(profile.kv_tokens / context, profile.max_num_seqs)
        odds = batch * counts.work_seconds(profile) / (counts.output_tokens * profile.base_seconds)
    return np.where(np.isfinite(odds), np.minimum(by_tpot, odds / (1.0 + odds)), by_tpot)


def needed_replicas(counts: Counts, profile: Profile, tpot_seconds: float) -> F8:
    """Replicas, not rounded, at which each bin's mix just meets the mean TPOT in a steady state; shape (bins,)."""
    share = counts.work_seconds(profile) / BIN_SECONDS
    return share / highest_utilization(counts, profile, tpot_seconds)


def peak_replicas(counts: Counts, profile: Profile, tpot_seconds: float) -> float:
    """The largest need of 5 min."""
    need = needed_replicas(counts, profile, tpot_seconds)
    width = min(_PEAK_BINS, len(need))
    return float(np.convolve(need, np.ones(width) / width, mode="valid").max())


def initial_replicas(counts: Counts, profile: Profile, tpot_seconds: float) -> int:
    """What the first quarter of an hour needs, and half as much again: 1 or more."""
    need = needed_replicas(counts, profile, tpot_seconds)[:_QUARTER_BINS]
    return max(1, math.ceil(_START_MARGIN * float(need.mean())))


def kept(demand: Demand, keep: float, seed: int) -> Demand:
    """Each request with probability `keep`, by a coin of its own; drawn demand tosses it before it draws the rest."""
    if isinstance(demand, Drawn):
        return replace(demand, keep=demand.keep * keep)
    return thinned(demand, keep, seed)


def keep_for_peak(
    demand: Demand,
    replicas: float,
    profile: Profile,
    tpot_seconds: float,
    *,
    seed: int = 1,
    on_seconds: Callable[[float], None] = lambda _: None,
) -> float:
    """The share of requests to keep so that the peak needs about `replicas`; 1 where all together need less.

    Estimated from a million requests: exact enough for "about".
    """
    coarse = min(1.0, _COARSE_REQUESTS / max(demand.expected_requests, 1.0))
    counts = count(kept(demand, coarse, seed), on_seconds)
    return min(1.0, coarse * replicas / peak_replicas(counts, profile, tpot_seconds))
