"""Nodes under a fleet, bin by bin, and what is paid for them.

A node holds so many replicas. It is there from the ask for the first pod that needs it, and stays ten minutes after
the last: the cluster autoscaler's --scale-down-unneeded-time, 10 min by default (cluster-autoscaler FAQ, "How does
scale-down work?"). Billing begins at the ask, a little before the cloud's: a machine is billed once it runs.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulations.counts.demand_counts import BIN_SECONDS
from simulations.counts.run import CountRun

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]

UNNEEDED_SECONDS = 600
HOURS_A_MONTH = 730.0
"""As Google bills: 8,760 hours a year over 12 months (cloud.google.com/compute/all-pricing)."""
_DAY_BINS = 86_400 // BIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Sums a day from second zero; each of shape (days,). A demand shorter than a day is one of them.

    hours: its length. What is left after the last whole day is left out, where there is one.
    """

    hours: F8
    requests: F8
    good: F8
    node_hours: F8


def nodes_over_time(run: CountRun, gpus_per_replica: int, replicas_per_node: int) -> I8:
    """Nodes that are paid for in each bin; shape (bins,).

    Pods are those asked for, and those that still drain, as the run's GPU-seconds count them.
    """
    pods = np.maximum(run.replicas, np.ceil(run.gpu_seconds / (gpus_per_replica * BIN_SECONDS) - 1e-6))
    needed = -(-pods.astype(np.int64) // replicas_per_node)
    width = UNNEEDED_SECONDS // BIN_SECONDS
    padded = np.concatenate([np.zeros(width, np.int64), needed])
    held: I8 = np.lib.stride_tricks.sliding_window_view(padded, width + 1).max(axis=1)
    return held


def by_day(run: CountRun, nodes: I8) -> Days:
    """Sums of each day."""
    return Days(
        hours=np.diff(_edges(len(nodes))) * BIN_SECONDS / 3_600.0,
        requests=sums_by_day(run.requests),
        good=sums_by_day(run.good),
        node_hours=sums_by_day(nodes) * BIN_SECONDS / 3_600.0,
    )


def sums_by_day(values: NDArray[Any]) -> F8:
    """values: shape (bins,). What is left after the last whole day is left out, where there is one; shape (days,)."""
    return np.array([float(values[low:high].sum()) for low, high in itertools.pairwise(_edges(len(values)))])


def whole_days(bins: int) -> int:
    """Days that are told apart; a demand shorter than a day is one."""
    return max(1, bins // _DAY_BINS)


def _edges(bins: int) -> list[int]:
    return [0, bins] if bins < _DAY_BINS else [day * _DAY_BINS for day in range(whole_days(bins) + 1)]


def share_of_time(nodes: I8) -> dict[int, float]:
    """Node count -> share of the time; ascending."""
    counts, times = np.unique(nodes, return_counts=True)
    return {int(count): float(time) / len(nodes) for count, time in zip(counts, times, strict=True)}


def nodes_for(replicas: float, replicas_per_node: int) -> int:
    """Whole nodes under so many replicas."""
    return math.ceil(replicas / replicas_per_node - 1e-9)
