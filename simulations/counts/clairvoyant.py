"""The bound that knows the demand: replicas asked for in time, where their requests are worth their price.

With r replicas ready in a bin whose requests take w of server time per second, they decode at the step time of a
steady state, and the serving curve says which share meets the SLO: G(r / w), made concave. At a price of p GPU-seconds
per missed request a plan costs

    GPU-seconds of every replica from its ask to its end  +  p * sum over bins of N (1 - G(r / w))

The k-th replica of a bin adds N (G(k / w) - G((k - 1) / w)), less than the one before it, and is wanted only where
that one is. So each k is a problem of its own: on or off per bin, where turning it on costs a lead time more. Solved
exactly by dynamic programming, all k at once; the sweep over p draws the frontier.

Which optimality: the plan is optimal for lead times of one length, demand smoothed over a few bins, no queue carried
from one bin to the next, and G concave. What it delivers is then measured in the count-level model itself, with its
queue and its random lead times, so every point is one that a plan attains: an upper bound on the cheapest, not a proof
of it. As the price grows, and without smoothing, it is the forward maximum over the lead time of what each bin needs.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.capacity.profile import Profile
from simulations.counts.demand_counts import BIN_SECONDS, F8, Counts
from simulations.counts.run import CountWorld
from simulations.counts.serving_curve import ServingCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSetting:
    """gpu_seconds_per_request: the price of a miss. smoothing_bins: odd; demand is a centred mean of so many."""

    gpu_seconds_per_request: float
    smoothing_bins: int


_PRICES = (5, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384)
"""In units of the mean request's own server time. Below, giving everything up is cheapest; above, nothing changes."""

_SMOOTHING_BINS = (1, 3, 7)


def plan_settings(counts: Counts, profile: Profile, *, is_quick: bool = False) -> Iterator[PlanSetting]:
    """The sweep: price x smoothing."""
    own_seconds = float(counts.work_seconds(profile).sum() / counts.requests.sum()) * profile.gpus_per_replica
    for price, bins in itertools.product(_PRICES[1::3] if is_quick else _PRICES, _SMOOTHING_BINS):
        yield PlanSetting(gpu_seconds_per_request=price * own_seconds, smoothing_bins=bins)


def clairvoyant_plan(world: CountWorld, setting: PlanSetting) -> NDArray[np.int64]:
    """Replicas to ask for, bin by bin; shape (bins,), 1 or more."""
    counts, profile = world.counts, world.profile
    share = _smoothed(counts.work_seconds(profile) / BIN_SECONDS, setting.smoothing_bins)
    requests = _smoothed(counts.requests, setting.smoothing_bins)
    lead_seconds = world.lead_time.start_median_seconds + world.lead_time.load_median_seconds
    lead_bins = math.ceil(lead_seconds / BIN_SECONDS)
    ratios, attained = _concave_curve(world.curve, profile)
    most = math.ceil(share.max() * ratios[-1])
    levels = np.arange(most + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.stack(
            [np.interp(np.where(share > 0, level / share, ratios[-1]), ratios, attained) for level in levels], axis=1
        )
    value = np.diff(gains, axis=1) * requests[:, None] * setting.gpu_seconds_per_request
    cost = float(BIN_SECONDS * profile.gpus_per_replica)
    on = _switched_on(value - cost, lead_bins * cost)
    ready = np.maximum(on.sum(axis=1), 1)
    return _forward_maximum(ready, lead_bins)


def _concave_curve(curve: ServingCurve, profile: Profile) -> tuple[F8, F8]:
    """(replicas per server time asked for, share of requests within the SLO), ascending, from (0, 0), concave."""
    ratio = 1.0 / (1.0 - profile.base_seconds / curve.step_seconds)
    points = sorted(zip(ratio.tolist(), curve.attainment.tolist(), strict=True))
    hull: list[tuple[float, float]] = [(0.0, 0.0)]
    for point in points:
        while len(hull) > 1 and _is_below(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    while len(hull) > 2 and hull[-1][1] <= hull[-2][1]:
        hull.pop()
    ratios, attained = np.array(hull).T
    return ratios, attained


def _is_below(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether the middle point lies on or below the line between the others."""
    return (middle[1] - first[1]) * (last[0] - first[0]) <= (last[1] - first[1]) * (middle[0] - first[0])


def _switched_on(profit: F8, start_cost: float) -> NDArray[np.bool_]:
    """For each column, the bins to be on that make the most profit, where each turning on costs `start_cost`.

    profit: of being on, shape (bins, columns). Being on at the first bin costs nothing more: the fleet is there.
    """
    bins, columns = profit.shape
    off, on = np.zeros(columns), profit[0].copy()
    stays_on, turned_off = np.zeros((bins, columns), bool), np.zeros((bins, columns), bool)
    for row in range(1, bins):
        stays_on[row] = on >= off - start_cost
        turned_off[row] = on > off
        on, off = np.where(stays_on[row], on, off - start_cost) + profit[row], np.maximum(on, off)
    chosen = np.zeros((bins, columns), bool)
    chosen[-1] = on > off
    for row in range(bins - 1, 0, -1):
        chosen[row - 1] = np.where(chosen[row], stays_on[row], turned_off[row])
    return chosen


def _forward_maximum(ready: NDArray[np.int64], lead_bins: int) -> NDArray[np.int64]:
    """The largest of each bin and the `lead_bins` after it: what must have been asked for by then."""
    padded = np.concatenate([ready, np.full(lead_bins, ready[-1])])
    windows = np.lib.stride_tricks.sliding_window_view(padded, lead_bins + 1)
    largest: NDArray[np.int64] = windows.max(axis=1)
    return largest


def _smoothed(values: F8, bins: int) -> F8:
    """A centred mean; bins is odd."""
    if bins == 1:
        return values
    padded = np.pad(values, bins // 2, mode="edge")
    return np.convolve(padded, np.ones(bins) / bins, mode="valid")
