"""What a policy is judged beside: the fleet that really ran, a constant one, and one that knew the demand."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from simulations.counts.capacity import peak_replicas
from simulations.counts.clairvoyant import PlanSetting, clairvoyant_plan, plan_settings
from simulations.counts.demand_counts import BIN_SECONDS, F8
from simulations.counts.run import CountRun, CountWorld, planned_run
from simulations.lead_time import LeadTime

_AT_ONCE = LeadTime(start_median_seconds=0.0, load_median_seconds=0.0, sigma=0.0, warm_start_median_seconds=0.0)
_BINS_PER_MINUTE = 60 // BIN_SECONDS
_MOST_TIMES_PEAK = 4


def recorded_run(world: CountWorld, ready_replicas: F8, lead_seconds: float) -> CountRun:
    """The fleet that ran: so many ready in each minute, as recorded; shape (minutes,), NaN taken from the one before.

    Its pods are ready when they were recorded as ready; each that was added is charged its lead time as well.
    """
    there = ~np.isnan(ready_replicas)
    last = np.maximum.accumulate(np.where(there, np.arange(len(there)), 0))
    known = np.where(np.isnan(ready_replicas[last]), ready_replicas[np.argmax(there)], ready_replicas[last])
    plan = np.repeat(np.rint(known).astype(np.int64), _BINS_PER_MINUTE)[: world.counts.bins]
    run = planned_run(replace(world, lead_time=_AT_ONCE, initial_replicas=int(plan[0])), plan, "what ran")
    started = np.maximum(np.diff(plan, prepend=plan[0]), 0)
    return replace(run, gpu_seconds=run.gpu_seconds + started * lead_seconds * world.profile.gpus_per_replica)


@dataclass(slots=True, eq=False)
class Bounds:
    """Runs on the judged part that know its demand; each is made once, whatever attainments are asked."""

    world: CountWorld
    _static: dict[int, CountRun] = field(default_factory=dict)
    _planned: dict[PlanSetting, CountRun] = field(default_factory=dict)

    def cheapest_static(self, attainment: float) -> CountRun:
        """The fewest replicas that, kept all the time, deliver it: known only afterwards. If none do, the most tried.

        So many at most as 4 times the peak needs.
        """
        peak = peak_replicas(self.world.counts, self.world.profile, self.world.slo.tpot_seconds)
        low, high = 0, max(1, math.ceil(_MOST_TIMES_PEAK * peak))
        while high - low > 1:
            middle = (low + high) // 2
            if self._constant(middle).figures().attainment >= attainment:
                high = middle
            else:
                low = middle
        return self._constant(high)

    def cheapest_clairvoyant(self, attainment: float) -> CountRun:
        """The cheapest of the plans that know the demand and deliver it; if none does, the one that delivers most."""
        settings = list(plan_settings(self.world.counts, self.world.profile))
        for bins in sorted({each.smoothing_bins for each in settings}):
            own = sorted((each for each in settings if each.smoothing_bins == bins), key=_price)
            low, high = -1, len(own)
            while high - low > 1:  # the dearer a miss, the fewer there are
                middle = (low + high) // 2
                if self._plan(own[middle]).figures().attainment >= attainment:
                    high = middle
                else:
                    low = middle
        runs = list(self._planned.values())
        enough = [run for run in runs if run.figures().attainment >= attainment]
        if enough:
            return min(enough, key=lambda run: run.figures().gpu_hours)
        return max(runs, key=lambda run: run.figures().attainment)

    def _constant(self, replicas: int) -> CountRun:
        if replicas not in self._static:
            plan = np.full(self.world.counts.bins, replicas, np.int64)
            world = replace(self.world, initial_replicas=replicas)
            self._static[replicas] = planned_run(world, plan, f"static, {replicas}")
        return self._static[replicas]

    def _plan(self, setting: PlanSetting) -> CountRun:
        if setting not in self._planned:
            plan = clairvoyant_plan(self.world, setting)
            world = replace(self.world, initial_replicas=int(plan[0]))
            self._planned[setting] = planned_run(world, plan, "clairvoyant")
        return self._planned[setting]


def _price(setting: PlanSetting) -> float:
    return setting.gpu_seconds_per_request
