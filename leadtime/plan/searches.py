"""Many searches at once: a round runs the next setting of each that is still open, on all cores."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from leadtime.plan.answer import Figures, Missed, Row
from leadtime.plan.knobs import first_place, setting
from leadtime.plan.request import PlanRequest
from leadtime.plan.runs import Runs
from leadtime.plan.world import World
from policies.errors import BadInput
from policies.nodepools.spec import PoolSpec, SpotTerms
from simulations.planning.search import Search, Tried
from simulations.planning.spot_nodes import SpotShare, spot_share

_FAR = 1.5
"""Times the cheapest: beyond, a rival is neither refined nor run with the other seeds."""

_ATTEMPTS = 4
"""How often a setting is sought that attains over all seeds; each time the first one is asked for more, at last for
the most that it attained."""


@dataclass(slots=True, eq=False, kw_only=True)
class Hunt:
    """A policy on a candidate: its search so far. cap: maxReplicas. factor: times the demand of now.

    figures: by place. error: where the policy refuses to run.
    """

    world: World
    policy: str
    cap: int
    search: Search
    factor: float = 1.0
    figures: dict[float, Figures] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def begin(cls, world: World, policy: str, cap: int, attainment: float) -> "Hunt":
        return cls(
            world=world,
            policy=policy,
            cap=cap,
            search=Search(target=attainment, first=first_place(policy, attainment)),
        )

    @property
    def next_place(self) -> float | None:
        return None if self.error else self.search.next_place()

    def parameters(self, place: float) -> dict[str, str]:
        """For the demand of now; a fixed count is held by maxReplicas as any other."""
        values = setting(self.policy, place, self.world.scales)
        if self.policy == "static":
            values["replicas"] = str(min(int(values["replicas"]), max(1, math.floor(self.cap / self.factor))))
        return values

    def cell(self, place: float, seed: int) -> dict[str, Any]:
        return self.world.day_cell(self.policy, self.parameters(place), cap=self.cap, seed=seed, factor=self.factor)

    def told(self, place: float, figures: Figures, request: PlanRequest) -> None:
        """What became of a run with the first seed: the search sees its searched days only."""
        self.figures[place] = figures
        row = row_of(request, self, place, [figures])
        tried = Tried(place=place, attainment=row.searched_attainment, cost=row.searched_usd_per_month)
        self.search = self.search.told(tried)


def solve(hunts: Sequence[Hunt], request: PlanRequest, runs: Runs, *, are_rivals: bool = False) -> None:
    """Run each to its end, with the first seed. are_rivals: those that cannot become the cheapest are left early."""
    while True:
        open_hunts = [hunt for hunt in hunts if not (are_rivals and _is_beaten(hunt, hunts))]
        asked = [(hunt, place) for hunt in open_hunts if (place := hunt.next_place) is not None]
        if not asked:
            return
        contents = [hunt.cell(place, request.seeds[0]) for hunt, place in asked]
        for (hunt, place), outcome in zip(asked, runs.outcomes(contents), strict=True):
            if outcome.figures is None:
                hunt.error = outcome.error or "no figures"
                continue
            hunt.told(place, outcome.figures, request)


def rows_of(hunts: Sequence[Hunt], request: PlanRequest, runs: Runs, *, are_rivals: bool = False) -> list[Row | None]:
    """The best of each hunt over all seeds, None for none.

    Tightened where the other seeds that are searched with pull it below the target; those that judge have no say.
    """
    places: dict[int, Row] = {}
    target = {id(hunt): hunt.search.target for hunt in hunts}
    if are_rivals:
        costs = [hunt.search.best.cost for hunt in hunts if hunt.search.best]
        for hunt in hunts:
            best = hunt.search.best
            if best is not None and is_far(best.cost, costs):
                row = row_of(request, hunt, best.place, [hunt.figures[best.place]])
                places[id(hunt)] = replace(row, note=f"not refined: beyond {_FAR:g} times the cheapest")
    for attempt in range(_ATTEMPTS):
        open_hunts = [hunt for hunt in hunts if hunt.search.best is not None and id(hunt) not in places]
        for hunt, row in zip(open_hunts, _over_seeds(open_hunts, request, runs), strict=True):
            asked = target[id(hunt)]
            delivered = row.searched_attainment
            if delivered >= asked:
                places[id(hunt)] = row
            elif attempt + 2 < _ATTEMPTS:
                tighter = 1.0 - (1.0 - hunt.search.target) * (1.0 - asked) / (1.0 - delivered)
                hunt.search = hunt.search.with_target(min(tighter, 0.999999))
            elif (nearest := hunt.search.nearest) is not None:
                hunt.search = hunt.search.with_target(nearest.attainment)
        solve([hunt for hunt in open_hunts if id(hunt) not in places], request, runs)
    return [places.get(id(hunt)) for hunt in hunts]


def _over_seeds(hunts: Sequence[Hunt], request: PlanRequest, runs: Runs) -> list[Row]:
    contents = []
    for hunt in hunts:
        best = hunt.search.best
        assert best is not None, "only those that attain"
        contents += [hunt.cell(best.place, seed) for seed in request.seeds]
    outcomes = runs.outcomes(contents)
    rows = []
    for number, hunt in enumerate(hunts):
        best = hunt.search.best
        assert best is not None, "only those that attain"
        own = outcomes[number * len(request.seeds) : (number + 1) * len(request.seeds)]
        rows.append(row_of(request, hunt, best.place, [each.figures for each in own if each.figures is not None]))
    return rows


def row_at(hunt: Hunt, place: float, request: PlanRequest, runs: Runs) -> Row:
    """The setting at a place, over all seeds. Raises BadInput where the policy refuses it."""
    outcomes = runs.outcomes([hunt.cell(place, seed) for seed in request.seeds])
    figures = [each.figures for each in outcomes if each.figures is not None]
    if len(figures) < len(outcomes):
        raise BadInput(f"{hunt.policy}: {next(each.error for each in outcomes if each.error)}")
    if place not in hunt.figures:
        hunt.told(place, figures[0], request)
    return row_of(request, hunt, place, figures)


def row_of(request: PlanRequest, hunt: Hunt, place: float, figures: Sequence[Figures]) -> Row:
    candidate = hunt.world.candidate
    return Row(
        candidate=candidate,
        policy=hunt.policy,
        place=place,
        cap=hunt.cap,
        parameters=hunt.parameters(place),
        runs=figures,
        spot=spot_of(request, hunt, figures),
        split=hunt.world.split,
    )


def is_far(cost: float, costs: Iterable[float]) -> bool:
    """Whether it costs so much more than the cheapest that how much more is of no interest."""
    return cost > _FAR * min(costs, default=math.inf)


def _is_beaten(hunt: Hunt, hunts: Sequence[Hunt]) -> bool:
    """Whether even a setting that misses costs far more than another hunt's that attains: to attain costs no less."""
    best = hunt.search.best
    misses = [
        each.cost
        for each in hunt.search.tried
        if each.attainment < hunt.search.target and (best is None or each.place < best.place)
    ]
    return bool(misses) and is_far(max(misses), [other.search.best.cost for other in hunts if other.search.best])


def missed(hunt: Hunt, asked: float, cheapest: float | None = None) -> Missed:
    """What a hunt that found nothing says. asked: attainment. cheapest: cost a month of what attains it."""
    nearest = hunt.search.nearest
    if hunt.error:
        constraint, text = "refused", hunt.error
    elif nearest is None:
        constraint, text = "refused", "it did not run"
    elif cheapest is not None and is_far(nearest.cost, [cheapest]):
        constraint = "cost"
        text = (
            f"${nearest.cost:,.0f} a month at {nearest.attainment:.2%} already, beyond {_FAR:g} times the "
            f"${cheapest:,.0f} for which {asked:.2%} is attained elsewhere: not followed further"
        )
    elif nearest.attainment >= asked:
        constraint = "seeds"
        text = f"{nearest.attainment:.2%} with the first seed, less than {asked:.2%} over all; give more --seeds"
    else:
        figures = hunt.figures[nearest.place]
        constraint = "attainment"
        text = (
            f"{nearest.attainment:.2%} at most, {100 * (asked - nearest.attainment):.2f} points below {asked:.2%}, "
            f"with {_text(hunt.parameters(nearest.place), hunt.policy)} and {figures['replicas']['peak']:,} of "
            f"{hunt.cap:,} replicas at the peak; try another policy, more --max-replicas or a shorter lead time"
        )
    return Missed(candidate=hunt.world.candidate, policy=hunt.policy, constraint=constraint, text=text)


def spot_of(request: PlanRequest, hunt: Hunt, figures: Sequence[Figures]) -> SpotShare | None:
    """The mix of nodes for these runs; None where spot is not wanted, has no price, or nothing costs anything.

    Spares fit the quota of now; for a later month it is taken to be raised.
    """
    candidate = hunt.world.candidate
    machine, wanted = candidate.machine, request.spot
    if wanted is None or not machine.spot_usd_per_hour or not machine.usd_per_hour:
        return None
    shares: dict[int, float] = {}
    for run in figures:
        for nodes, share in run["node_shares"]:
            shares[nodes] = shares.get(nodes, 0.0) + share / len(figures)
    pool = PoolSpec(
        name=candidate.name,
        gpus_per_node=machine.gpus,
        max_nodes=max(1, *shares),
        quota_gpus=request.quota.get(candidate.gpu) if hunt.factor == 1.0 else None,
        price_per_node_hour=machine.usd_per_hour,
        spot=SpotTerms(
            price_per_node_hour=machine.spot_usd_per_hour,
            preemptions_per_node_hour=wanted.preemptions_per_node_hour,
            zone_events_per_hour=wanted.zone_events_per_hour,
            zones=wanted.zones,
        ),
    )
    return spot_share(pool, shares, replace_seconds=request.lead_seconds, attainment=request.attainment)


def _text(parameters: Mapping[str, Any], policy: str) -> str:
    return f"{policy}:" + ",".join(f"{name}={value}" for name, value in parameters.items())
