"""The plan: candidates, curves, searches, seeds, the finalist's check, the months ahead. One call, resumable."""

from dataclasses import replace
from pathlib import Path

from leadtime.output import made_folders
from leadtime.plan.answer import Missed, Plan
from leadtime.plan.candidates import Refused, candidates, refusal
from leadtime.plan.demand import counted
from leadtime.plan.finalist import checked
from leadtime.plan.outlook import months_ahead, next_nines, quota_answer
from leadtime.plan.request import PlanRequest
from leadtime.plan.runs import OnProgress, Progress, Runs
from leadtime.plan.searches import Hunt, missed, rows_of, solve
from leadtime.plan.world import World, world_of
from leadtime.sweep_task import code_fingerprint
from policies.errors import BadInput
from simulations.planning.growth import busiest_hour


def make_plan(request: PlanRequest, folder: Path, *, workers: int, on_progress: OnProgress = lambda _: None) -> Plan:
    """Answer the question. folder: keeps counts and runs; the same question goes on where it stopped.

    Raises BadInput, with what binds each candidate where none is left.
    """
    folders = {name: folder / name for name in ("counts", "cells")}

    def on_seconds(done: float, total: float) -> None:
        on_progress(Progress(stage="counting the demand", done=round(done), total=max(1, round(total))))

    with made_folders("--out", *folders.values()):
        tried, refused = candidates(request)
        if not tried:
            raise refusal(refused)
        demands = counted(request, folders["counts"], on_seconds)
    first = demands[0].counts
    hour = busiest_hour(first, tried[0].profile, request.slo.tpot_seconds)
    code = code_fingerprint()
    runs = Runs(folders["cells"], workers, on_progress)
    worlds = _with_curves([world_of(request, each, demands, hour, code) for each in tried], request, runs, refused)
    hunts = [
        Hunt.begin(world, policy, cap, request.attainment)
        for world in worlds
        if (cap := _cap(world, request, refused)) is not None
        for policy in request.policies
    ]
    runs.begin("searching")
    solve(hunts, request, runs, are_rivals=True)
    runs.begin("other seeds")
    rows = rows_of(hunts, request, runs, are_rivals=True)
    found = [(row, hunt) for row, hunt in zip(rows, hunts, strict=True) if row is not None]
    runs.begin("what those that missed would need")
    without = [hunt for row, hunt in zip(rows, hunts, strict=True) if row is None]
    cheapest = min((row.searched_usd_per_month for row, _ in found), default=None)
    missing = [_missing(hunt, request, runs, cheapest) for hunt in without]
    if not found:
        raise refusal([*refused, *(_as_refused(each) for each in missing)])
    runs.begin("worst hour, full simulator")
    ranked, checks = checked([row for row, _ in found], [hunt for _, hunt in found], request, hour, runs)
    best = ranked[0]
    hunt = next(hunt for row, hunt in found if (row.candidate.name, row.policy) == (best.candidate.name, best.policy))
    runs.begin("months ahead")
    months = months_ahead(best, hunt, request, runs)
    runs.begin("the next nines")
    nines = next_nines(best, hunt, request, runs)
    return Plan(
        request=request,
        demand_name=request.demand,
        requests=float(first.requests.sum()),
        seconds=first.duration_seconds,
        hour=hour,
        rows=ranked,
        missed=missing,
        refused=refused,
        checks=checks,
        months=months,
        nines=nines,
        quota=quota_answer(best, months, request),
    )


def _with_curves(worlds: list[World], request: PlanRequest, runs: Runs, refused: list[Refused]) -> list[World]:
    """Those whose replicas can meet the SLO at all; the others are refused, with what binds."""
    runs.begin("serving curves")
    outcomes = runs.outcomes([world.curve_cell(request.seeds[0]) for world in worlds])
    kept = []
    for world, outcome in zip(worlds, outcomes, strict=True):
        candidate = world.candidate
        if outcome.figures is None:
            raise BadInput(f"{candidate.name}: {outcome.error}")
        too_long, curve = outcome.figures["too_long"], outcome.figures["curve"]
        allowed = 1.0 - request.attainment
        if too_long > allowed:
            refused.append(
                Refused(
                    name=candidate.name,
                    constraint="kv cache",
                    text=f"{too_long:.2%} of the requests are longer than the {candidate.profile.kv_tokens:,} tokens "
                    f"that a replica's KV cache holds, {allowed:.2%} may be; more GPUs a replica "
                    f"({candidate.gpu}-tp{2 * candidate.profile.gpus_per_replica}) or larger ones",
                )
            )
            continue
        best = max(curve["attainment"])
        if best < request.attainment:
            refused.append(
                Refused(
                    name=candidate.name,
                    constraint="slo",
                    text=f"of these requests {best:.2%} meet the SLO on nearly idle replicas, "
                    f"{100 * (request.attainment - best):.2f} points below {request.attainment:.2%}: their TTFT p90 is "
                    f"{curve['ttft_p90_seconds'][0]:.2f} s, their TPOT p90 {1e3 * curve['tpot_p90_seconds'][0]:.1f} ms "
                    "there; relax the SLO or choose a faster GPU",
                )
            )
            continue
        kept.append(replace(world, curve=curve))
    if not kept:
        raise refusal(refused)
    return kept


def _cap(world: World, request: PlanRequest, refused: list[Refused]) -> int | None:
    """maxReplicas: as given, or twice the peak's need, and what the quota holds; None where it holds no replica."""
    cap = request.max_replicas or world.most_replicas
    candidate = world.candidate
    quota = request.quota.get(candidate.gpu)
    if quota is None:
        return cap
    held = quota // candidate.machine.gpus * candidate.replicas_per_node
    if held < request.min_replicas:
        text = (
            f"{request.min_replicas} replica(s) need {candidate.machine.name} with {candidate.machine.gpus} GPUs, the "
            f"quota is {quota}; ask for more, or --machine {candidate.gpu}=NAME of a smaller one"
        )
        refused.append(Refused(name=candidate.name, constraint="quota", text=text))
        return None
    return min(cap, held)


def _missing(hunt: Hunt, request: PlanRequest, runs: Runs, cheapest: float | None) -> Missed:
    """What binds: the quota, where the same policy attains without it, else what it attains."""
    free = request.max_replicas or hunt.world.most_replicas
    if hunt.error or hunt.cap >= free:
        return missed(hunt, request.attainment, cheapest)
    unbound = Hunt.begin(hunt.world, hunt.policy, free, request.attainment)
    solve([unbound], request, runs)
    best, nearest = unbound.search.best, hunt.search.nearest
    if best is None or nearest is None:
        return missed(hunt, request.attainment, cheapest)
    candidate = hunt.world.candidate
    needed = int(unbound.figures[best.place]["nodes"]["peak"]) * candidate.machine.gpus
    quota = request.quota[candidate.gpu]
    return Missed(
        candidate=candidate,
        policy=hunt.policy,
        constraint="quota",
        text=f"needs {needed:,} GPUs at the peak, the quota is {quota:,}, {needed - quota:,} too few; within it "
        f"{nearest.attainment:.2%} of {request.attainment:.2%} are attained",
    )


def _as_refused(each: Missed) -> Refused:
    return Refused(name=f"{each.candidate.name}, {each.policy}", constraint=each.constraint, text=each.text)
