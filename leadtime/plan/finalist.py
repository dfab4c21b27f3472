"""The cheapest setting in the full simulator, on the worst hour: its error, and the next setting where it fails.

Where the full simulator misses more requests of that hour than the count level does, they are added to the misses of
all; where it misses fewer, nothing is taken off. Nothing is said of the other hours.
"""

from collections.abc import Sequence
from dataclasses import replace

from leadtime.plan.answer import Check, Row
from leadtime.plan.request import PlanRequest
from leadtime.plan.runs import Runs
from leadtime.plan.searches import Hunt, row_at
from policies.errors import BadInput
from simulations.planning.growth import Span

_STEPS = (0.05, 0.1, 0.2)
"""How far along its range the setting moves for each correction."""

_FINALISTS = 3


def checked(
    rows: Sequence[Row], hunts: Sequence[Hunt], request: PlanRequest, hour: Span, runs: Runs
) -> tuple[list[Row], list[Check]]:
    """The rows, cheapest first, of which the first stood the check, and all checks in the order they were made.

    Another row is checked where a correction made it the cheapest, up to three. Raises BadInput where the worst hour
    cannot be run.
    """
    by_row = {_key(row): hunt for row, hunt in zip(rows, hunts, strict=True)}
    ranked = sorted(rows, key=lambda row: row.searched_usd_per_month)
    checks: list[Check] = []
    done: set[tuple[str, str]] = set()
    for _ in range(_FINALISTS):
        row = ranked[0]
        if _key(row) in done:
            break
        done.add(_key(row))
        corrected, own = _corrected(row, by_row[_key(row)], request, hour, runs)
        checks += own
        ranked = sorted([corrected, *ranked[1:]], key=lambda each: each.searched_usd_per_month)
    return ranked, checks


def _corrected(row: Row, hunt: Hunt, request: PlanRequest, hour: Span, runs: Runs) -> tuple[Row, list[Check]]:
    checks: list[Check] = []
    for step in (*_STEPS, 0.0):
        check = _check(row, hunt, request, hour, runs)
        lacking = request.attainment - check.corrected
        place = min(1.0, row.place + step)
        if lacking <= 0 or place == row.place:
            checks.append(check)
            break
        checks.append(replace(check, next_parameters=hunt.parameters(place)))
        row = row_at(hunt, place, request, runs)
    lacking = request.attainment - checks[-1].corrected
    if lacking > 0:
        row = replace(
            row,
            note=f"in the full simulator {checks[-1].corrected:.2%}, {100 * lacking:.2f} points below what was asked",
        )
    return row, checks


def _check(row: Row, hunt: Hunt, request: PlanRequest, hour: Span, runs: Runs) -> Check:
    content = hunt.world.worst_hour_cell(
        request, hour, row.policy, row.parameters, cap=row.cap, timeline=row.runs[0]["timeline"]
    )
    (outcome,) = runs.outcomes([content])
    figures = outcome.figures
    if figures is None:
        raise BadInput(f"worst hour: {outcome.error}")
    optimism = max(0.0, figures["count_attainment"] - figures["full_attainment"])
    hidden = optimism * min(figures["requests"] / row.searched_requests, 1.0)
    return Check(
        row=row,
        requests=figures["requests"],
        count_attainment=figures["count_attainment"],
        full_attainment=figures["full_attainment"],
        count_gpu_hours=figures["count_gpu_hours"],
        full_gpu_hours=figures["full_gpu_hours"],
        corrected=row.searched_attainment - hidden,
    )


def _key(row: Row) -> tuple[str, str]:
    return row.candidate.name, row.policy
