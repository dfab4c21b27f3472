"""What the finalist needs in the months ahead, when the quota no longer holds it, and what more nines cost."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from leadtime.plan.answer import Month, Nine, QuotaAnswer, Row
from leadtime.plan.knobs import grown
from leadtime.plan.request import LEVELS, PlanRequest
from leadtime.plan.runs import Runs
from leadtime.plan.searches import Hunt, row_of, rows_of, solve
from policies.errors import BadInput
from simulations.planning.growth import after_months, months_until
from simulations.planning.search import Search


def months_ahead(row: Row, hunt: Hunt, request: PlanRequest, runs: Runs) -> list[Month]:
    """From now to the last month; all alike where nothing grows. The last one with all seeds, those between with one.

    The setting stays while it attains what was asked, else one is sought that does. maxReplicas grows with the demand
    and is not held by the quota: what is asked is what is needed. Raises BadInput.
    """
    free = request.max_replicas or hunt.world.most_replicas
    months = [_month(0, request, row)]
    if request.growth_per_month == 1.0 or request.months == 0:
        return months if request.months == 0 else [*months, replace(months[0], month=request.months, day=_day(request))]
    hunts = []
    for month in range(1, request.months + 1):
        factor = request.growth_per_month**month
        search = Search(target=request.attainment, first=row.place)
        cap = max(1, math.ceil(free * factor))
        hunts.append(Hunt(world=hunt.world, policy=row.policy, cap=cap, search=search, factor=factor))
    outcomes = runs.outcomes([each.cell(row.place, request.seeds[0]) for each in hunts])
    for each, outcome in zip(hunts, outcomes, strict=True):
        if outcome.figures is None:
            raise BadInput(f"demand times {each.factor:.2f}: {outcome.error}")
        each.told(row.place, outcome.figures, request)
    solve([each for each in hunts if each.search.best is None], request, runs)
    (last,) = rows_of(hunts[-1:], request, runs)
    for month, each in enumerate(hunts, start=1):
        found = last if month == request.months else None
        months.append(_month(month, request, found or _first_seed(each, request)))
    return months


def _first_seed(hunt: Hunt, request: PlanRequest) -> Row:
    """The setting that attains with the first seed, or the one that comes nearest."""
    chosen = hunt.search.best or hunt.search.nearest
    assert chosen is not None, "one was run"
    return row_of(request, hunt, chosen.place, [hunt.figures[chosen.place]])


def quota_answer(row: Row, months: Sequence[Month], request: PlanRequest) -> QuotaAnswer:
    """GPUs at the peak now and then, and the day from which the quota is too small."""
    gpu = row.candidate.gpu
    quota = request.quota.get(gpu)
    binds: date | None = None
    if quota is not None and len(months) > 1:
        by_month = _every_month(months)
        when = months_until(by_month, float(quota))
        binds = None if when is None else after_months(request.start, when)
    elif quota is not None and months[0].peak_gpus.high > quota:
        binds = request.start
    return QuotaAnswer(
        gpu=gpu,
        quota=quota,
        needed_now=months[0].peak_gpus,
        needed_then=months[-1].peak_gpus,
        then=months[-1].day,
        binds_on=binds,
    )


def next_nines(row: Row, hunt: Hunt, request: PlanRequest, runs: Runs) -> list[Nine]:
    """The finalist's GPU and policy at each level, each the cheapest that reaches it; what was asked as it stands."""
    levels = [level for level in LEVELS if level != request.attainment]
    hunts = [replace(hunt, search=hunt.search.with_target(level), figures=dict(hunt.figures)) for level in levels]
    solve(hunts, request, runs)
    found = [row, *(each for each in rows_of(hunts, request, runs) if each is not None)]
    nearest = max(each.attainment for own in hunts for each in own.search.tried)
    nines = []
    for level in sorted({*LEVELS, request.attainment}):
        reaching = [each for each in found if each.searched_attainment >= level]
        cheapest = min(reaching, key=lambda each: each.searched_usd_per_month, default=None)
        nines.append(Nine(level=level, row=row if level == request.attainment else cheapest, nearest=nearest))
    return nines


def _month(month: int, request: PlanRequest, row: Row) -> Month:
    return Month(
        month=month,
        day=after_months(request.start, month),
        factor=request.growth_per_month**month,
        replicas=row.replicas,
        peak_replicas=row.peak_replicas,
        peak_gpus=row.peak_gpus,
        attainment=row.attainment,
        usd_per_month=row.usd_per_month,
        parameters=grown(row.policy, row.parameters, request.growth_per_month**month),
    )


def _every_month(months: Sequence[Month]) -> list[float]:
    """The peak's GPUs of month 0, 1, ...; where months between are not listed nothing grows."""
    if len(months) == 2 and months[1].month > 1:
        return [months[0].peak_gpus.high] * (months[1].month + 1)
    return [each.peak_gpus.high for each in months]


def _day(request: PlanRequest) -> date:
    return after_months(request.start, request.months)
