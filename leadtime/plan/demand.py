"""The demand of each seed as counts on disk, read anew only where something changed."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leadtime.plan.request import PlanRequest
from policies.errors import BadInput
from simulations.counts.demand_counts import BIN_SECONDS, Counts, count
from simulations.demand.text import demand_from
from simulations.planning.held_out import Split, split
from simulations.planning.node_hours import sums_by_day, whole_days
from simulations.trace import Demand, Trace

_SHORTEST_SECONDS = 20 * BIN_SECONDS
_DAY_SECONDS = 86_400.0

OnSeconds = Callable[[float, float], None]
"""Told how many seconds of a demand are done, and of how many."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Counted:
    """The demand as one seed draws it; a recording is the same for all. path: where its counts are kept."""

    seed: int
    path: Path
    counts: Counts


def demand_of(request: PlanRequest, seed: int) -> Demand:
    """The requests of a seed, grown. Raises BadInput."""
    seconds = None if request.days is None else request.days * _DAY_SECONDS
    demand = demand_from(request.demand, seed=seed, seconds=seconds, rate_factor=request.growth)
    if demand.duration_seconds < _SHORTEST_SECONDS:
        raise BadInput(
            f"--demand: {request.demand} lasts {demand.duration_seconds:g} s, must be at least {_SHORTEST_SECONDS} s; "
            "give a longer recording, best a week"
        )
    return demand


def counted(request: PlanRequest, folder: Path, on_seconds: OnSeconds) -> list[Counted]:
    """One for each seed. Raises BadInput."""
    found: list[Counted] = []
    for seed in request.seeds:
        path = folder / f"{_key(request, seed)}.npz"
        try:
            counts = Counts.load(path)
        except (OSError, ValueError, KeyError):
            demand = demand_of(request, seed)
            if found and isinstance(demand, Trace):
                counts = found[0].counts  # a recording: no seed changes it
            else:
                total = demand.duration_seconds
                counts = count(demand, lambda done, total=total: on_seconds(done, total))  # type: ignore[misc]
            counts.save(path)
        found.append(Counted(seed=seed, path=path, counts=counts))
    return found


def split_of(demands: Sequence[Counted]) -> Split:
    """Which days or seeds judge what was searched on the others."""
    first = demands[0].counts
    is_drawn = any(not np.array_equal(each.counts.requests, first.requests) for each in demands[1:])
    days = min(whole_days(each.counts.bins) for each in demands)
    requests = [sums_by_day(each.counts.requests)[:days] for each in demands]
    return split(np.array(requests), is_drawn=is_drawn)


def _key(request: PlanRequest, seed: int) -> str:
    """Of all that the counts depend on, the files' times included."""
    stamps = []
    for part in request.demand.split(" + "):
        for name in (part, f"{part}-rates.csv.gz", f"{part}-lengths.csv.gz"):
            try:
                stamps.append(Path(name).stat().st_mtime_ns)
            except (OSError, ValueError):
                stamps.append(0)
    content = [request.demand, stamps, seed, request.days, request.growth]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
