"""A frontier's figures from its cells: settings chosen on the training part, judged on the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from leadtime.frontier_plan import CLAIRVOYANT, CountedDemand
from simulations.counts.frontier import LEVELS, Point, gpu_hours_at, setting_for, undominated

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run of a policy. train, judged: the figures of simulations.counts.run.Figures."""

    parameters: Mapping[str, Any]
    train: Figures
    judged: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFrontier:
    """Of one policy, demand and lead time. errors: of settings that were refused, one line each."""

    policy: str
    settings: Sequence[Setting]
    errors: Sequence[str] = ()

    @property
    def chosen(self) -> list[Setting]:
        """Those that none beats on the training part; the clairvoyant is given what it can know, so by hindsight."""
        if self.policy == CLAIRVOYANT:
            return self.hindsight
        return [self.settings[index] for index in undominated([_point(each.train) for each in self.settings])]

    @property
    def hindsight(self) -> list[Setting]:
        """Those that none beats on the judged part: the best that this search could have chosen."""
        return [self.settings[index] for index in undominated([_point(each.judged) for each in self.settings])]

    def gpu_hours_at(self, attainment: float) -> float | None:
        """On the judged part, along the settings chosen on the training part; None where they do not reach it."""
        return gpu_hours_at([_point(each.judged) for each in self.chosen], attainment)

    def hindsight_gpu_hours_at(self, attainment: float) -> float | None:
        return gpu_hours_at([_point(each.judged) for each in self.hindsight], attainment)

    def deployed_for(self, attainment: float) -> Setting | None:
        """The cheapest setting that reached it in training: what an admin who wants it would deploy."""
        index = setting_for([_point(each.train) for each in self.settings], attainment)
        return None if index is None else self.settings[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandFrontier:
    """Of one demand and lead time. not_applicable: policy -> why it was left out."""

    demand: CountedDemand
    lead_seconds: float
    policies: Sequence[PolicyFrontier]
    not_applicable: Mapping[str, str] = field(default_factory=dict)

    def of(self, policy: str) -> PolicyFrontier:
        return next(each for each in self.policies if each.policy == policy)


def document(each: DemandFrontier, price_per_gpu_hour: float) -> dict[str, Any]:
    """As docs/reference/json.md describes it: the grid, what was chosen, and what it costs at each level."""
    bound = each.of(CLAIRVOYANT)
    return {
        "demand": each.demand.source,
        "phase_seed": each.demand.phase_seed,
        "keep": each.demand.keep,
        "peak_replicas": each.demand.peak,
        "lead_seconds": each.lead_seconds,
        "train_seconds": each.demand.train_bins * 15,
        "judged_seconds": (each.demand.counts.bins - each.demand.train_bins) * 15,
        "not_applicable": dict(each.not_applicable),
        "policies": [_policy(policy, bound, price_per_gpu_hour) for policy in each.policies],
    }


def frontier_table(each: DemandFrontier, price_per_gpu_hour: float) -> Table:
    """A row a policy: judged GPU-hours at each level, by hindsight in brackets, over the clairvoyant's; then what the
    settings deployed for 99 % delivered."""
    days = (each.demand.counts.bins - each.demand.train_bins) * 15 / 86_400
    table = Table(
        title=f"{each.demand.label}, lead time {each.lead_seconds:g} s, judged on {days:.2f} days",
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
        padding=(0, 1),
    )
    table.add_column("GPU-hours\n(hindsight) at", no_wrap=True)
    for level in LEVELS:
        table.add_column(f"{level:.1%}", justify="right", no_wrap=True)
    for title in (
        "x clair-\nvoyant",
        "cost\nat 99.0%",
        "asked 99.0%:\ndelivered",
        "GPU-\nhours",
        "missed",
        "rescales",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    bound = each.of(CLAIRVOYANT).gpu_hours_at(0.99)
    for policy in sorted(each.policies, key=lambda one: one.gpu_hours_at(0.99) or 1e18):
        hours = policy.gpu_hours_at(0.99)
        deployed = policy.deployed_for(0.99)
        judged = None if deployed is None else deployed.judged
        table.add_row(
            policy.policy,
            *(_both(policy.gpu_hours_at(level), policy.hindsight_gpu_hours_at(level)) for level in LEVELS),
            "n/a" if hours is None or not bound else f"{hours / bound:.2f}",
            "n/a" if hours is None else f"${hours * price_per_gpu_hour:,.0f}",
            *(
                ("n/a",) * 4
                if judged is None or judged["attainment"] is None
                else (
                    f"{judged['attainment']:.2%}",
                    _hours(judged["gpu_hours"]),
                    f"{judged['violations']:,.0f}",
                    f"{judged['rescales']:,}",
                )
            ),
        )
    for name in each.not_applicable:
        table.add_row(name, "n/a")
    table.caption = "\n".join(f"{name}: {why}" for name, why in each.not_applicable.items()) or None
    table.caption_justify = "left"
    return table


def _both(chosen: float | None, hindsight: float | None) -> str:
    if hindsight is None:
        return "n/a"
    return f"{'n/a' if chosen is None else _hours(chosen)} ({_hours(hindsight)})"


def _hours(value: float) -> str:
    """Three digits or more."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _policy(policy: PolicyFrontier, bound: PolicyFrontier, price: float) -> dict[str, Any]:
    levels = {}
    for level in LEVELS:
        hours, least = policy.gpu_hours_at(level), bound.gpu_hours_at(level)
        deployed = policy.deployed_for(level)
        levels[f"{level:g}"] = {
            "gpu_hours": hours,
            "cost_usd": None if hours is None else hours * price,
            "hindsight_gpu_hours": policy.hindsight_gpu_hours_at(level),
            "over_clairvoyant": hours / least if hours is not None and least else None,
            "deployed": None if deployed is None else _setting(deployed),
        }
    return {
        "policy": policy.policy,
        "levels": levels,
        "chosen": [_setting(each) for each in policy.chosen],
        "hindsight": [_setting(each) for each in policy.hindsight],
        "grid": [_setting(each) for each in policy.settings],
        "errors": list(policy.errors),
    }


def _setting(each: Setting) -> dict[str, Any]:
    return {"parameters": dict(each.parameters), "train": dict(each.train), "judged": dict(each.judged)}


def _point(figures: Figures) -> Point:
    """Where nothing arrived, nothing was attained."""
    return Point(gpu_hours=figures["gpu_hours"], attainment=figures["attainment"] or 0.0)
