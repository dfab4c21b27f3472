"""The one setting of each policy that is searched, and what its others are set to."""

import math
from collections.abc import Mapping

from leadtime.frontier_ranges import RANGES, Range
from policies.capacity.profile import Profile
from policies.capacity.sustained import sustained_batch
from policies.errors import BadInput
from policies.registry import named
from simulations.counts.capacity import peak_replicas
from simulations.counts.demand_counts import Counts
from simulations.slo import SLO

_ASKED = (0.5, 0.0001)
"""Misses that leadtime is asked to allow, from the cheapest place to the dearest."""

_WIDER = {"batch": (0.02, 1.5)}
"""A search that halves its range can afford a wide one: times the batch that just keeps the TPOT."""

_NARROWER = {"llmd-slo-aware": (0.41, 0.9)}
"""Its default for scaling down is 0.4, and must be below."""

_FIRST_PLACE = 0.35
_NOT_SEARCHED = ("schedule",)
"""Its calendar would be made of the same days that it is judged on."""

SEARCHED = tuple(name for name in RANGES if name not in _NOT_SEARCHED)

_RISING = ("static",)
"""More of the setting is more capacity; else it is a target per replica, and less of it is more."""


def check_policies(names: tuple[str, ...]) -> None:
    """Raises BadInput for one that is unknown or has no range."""
    for name in names:
        named(name)
        if name not in SEARCHED:
            raise BadInput(f"--policies: {name} cannot be planned with, must be one of {', '.join(SEARCHED)}")


def units(counts: Counts, profile: Profile, slo: SLO, lead_seconds: float) -> dict[str, float]:
    """What the ranges' bounds are multiples of: see `leadtime.frontier_ranges.UNITS`."""
    requests = float(counts.requests.sum())
    batch = sustained_batch(
        profile,
        prompt_tokens=float(counts.prompt_tokens.sum()) / requests,
        output_tokens=float(counts.output_tokens.sum()) / requests,
        tpot_seconds=slo.tpot_seconds,
    )
    return {
        "batch": max(batch, 1.0),
        "peak": max(peak_replicas(counts, profile, slo.tpot_seconds), 1.0),
        "lead": lead_seconds,
        "ttft": slo.ttft_seconds,
        "tpot": slo.tpot_seconds,
        "prefill": 1.0 / profile.per_prefill_token_seconds,
        "kv": float(profile.kv_tokens),
    }


def first_place(policy: str, attainment: float) -> float:
    """Where a search begins."""
    if policy != "leadtime":
        return _FIRST_PLACE
    most, least = _ASKED
    return min(max(math.log((1.0 - attainment) / most) / math.log(least / most), 0.0), 1.0)


def setting(policy: str, place: float, scales: Mapping[str, float]) -> dict[str, str]:
    """The policy's parameters at a place in [0, 1], more of it being more capacity, as people would type them.

    The searched one, and those that must be set for the policy to fit the model; the others keep their defaults.
    """
    knob = named(policy).knob
    values = {}
    for each in RANGES[policy]:
        is_fixed = len(each.choices) == 1 or (not each.choices and each.low == each.high)
        if each.field != knob and is_fixed:
            values[each.field] = each.text(0.0, scales)
    if policy == "leadtime":
        most, least = _ASKED
        return {**values, knob: f"{1.0 - most * (least / most) ** place:.5f}"}
    bounds = _bounds(policy, next(each for each in RANGES[policy] if each.field == knob))
    return {**values, knob: bounds.text(place if policy in _RISING else 1.0 - place, scales)}


def grown(policy: str, values: Mapping[str, str], factor: float) -> dict[str, str]:
    """The same setting for `factor` times the demand: targets are per replica and stay, a fixed count grows."""
    if policy != "static":
        return dict(values)
    return {**values, "replicas": str(math.ceil(int(values["replicas"]) * factor - 1e-9))}


def _bounds(policy: str, bounds: Range) -> Range:
    low, high = bounds.low, bounds.high
    if bounds.is_log:
        low, high = _WIDER.get(bounds.unit, (low, high))
    low, high = _NARROWER.get(policy, (low, high))
    return Range(
        field=bounds.field, low=low, high=high, unit=bounds.unit, is_log=bounds.is_log, is_whole=bounds.is_whole
    )
