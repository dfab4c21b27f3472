"""The content of a plan's cells: everything that a run depends on, in JSON's types."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from leadtime.plan.candidates import Candidate
from leadtime.plan.demand import Counted, split_of
from leadtime.plan.knobs import grown, units
from leadtime.plan.request import PlanRequest
from simulations.counts.capacity import peak_replicas
from simulations.planning.growth import Span, scaled
from simulations.planning.held_out import Split

_MOST_TIMES_PEAK = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A candidate's part of all cells. scales: units of its policies' settings. curve: how its replicas serve.

    split: on which days or seeds settings are searched, and on which they are judged.
    """

    candidate: Candidate
    peak_need: float
    scales: Mapping[str, float]
    common: Mapping[str, Any]
    counts: Mapping[int, str]
    split: Split = field(default_factory=Split)
    curve: Mapping[str, Any] = field(default_factory=dict)

    @property
    def most_replicas(self) -> int:
        """maxReplicas where nothing else is said: twice what the busiest five minutes need."""
        return max(2, math.ceil(_MOST_TIMES_PEAK * self.peak_need))

    def curve_cell(self, seed: int) -> dict[str, Any]:
        return {**self.common, "kind": "curve", "counts": self.counts[seed], "factor": 1.0}

    def day_cell(
        self, policy: str, parameters: Mapping[str, str], *, cap: int, seed: int, factor: float = 1.0
    ) -> dict[str, Any]:
        """A setting over all of the demand, `factor` times as much of it."""
        return {
            **self.common,
            "kind": "day",
            "counts": self.counts[seed],
            "curve": self.curve,
            "factor": factor,
            "policy": policy,
            "parameters": grown(policy, parameters, factor),
            "max_replicas": max(cap, self.common["min_replicas"]),
            "replicas_per_node": self.candidate.replicas_per_node,
            "seed": seed,
        }

    def worst_hour_cell(
        self,
        request: PlanRequest,
        hour: Span,
        policy: str,
        parameters: Mapping[str, str],
        *,
        cap: int,
        timeline: Mapping[str, Any],
    ) -> dict[str, Any]:
        """timeline: of the same setting over all of the demand, for where the run-in begins later."""
        return {
            **self.common,
            "kind": "worst hour",
            "curve": self.curve,
            "demand": request.demand,
            "days": request.days,
            "growth": request.growth,
            "hour": [hour.first, hour.end, request.peak_factor],
            "ready": [timeline["step_seconds"], timeline["ready"]],
            "policy": policy,
            "parameters": dict(parameters),
            "max_replicas": max(cap, self.common["min_replicas"]),
            "seed": request.seeds[0],
        }


def world_of(request: PlanRequest, candidate: Candidate, demands: list[Counted], hour: Span, code: str) -> World:
    """Without its curve, which is measured first."""
    profile, slo = candidate.profile, request.slo
    now = scaled(demands[0].counts, 1.0, busiest=hour, peak_factor=request.peak_factor)
    return World(
        candidate=candidate,
        peak_need=peak_replicas(now, profile, slo.tpot_seconds),
        scales=units(now, profile, slo, request.lead_seconds),
        common={
            "profile": asdict(profile),
            "slo": asdict(slo),
            "lead_time": asdict(request.lead_time),
            "min_replicas": request.min_replicas,
            "busiest_hour": [hour.first, hour.end] if request.peak_factor != 1.0 else None,
            "peak_factor": request.peak_factor,
            "code": code,
        },
        counts={each.seed: str(each.path) for each in demands},
        split=split_of(demands),
    )
