"""Settings chosen on the training part, and what they delivered and cost on the rest: figures and table rows.

As docs/frontier.md has it: those that none beats in training are kept, and the judged part is read along them, linear
between two; `deployed` is the cheapest that reached the level in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node_world.contenders import Setting
from node_world.judged import Part
from simulations.counts.frontier import Point, gpu_hours_at, setting_for, undominated

COST_LEVELS = (0.90, 0.95, 0.99)
"""90 % as well: no policy comes much further where a crowd is steeper than a node is fast."""

DEPLOYED_LEVELS = (0.95, 0.99)
HEADER = (
    "policy",
    "USD at 90 %",
    "95 %",
    "99 %",
    "GPU-hours at 90 %",
    "95 %",
    "99 %",
    "chosen for 95 %: delivered",
    "chosen for 99 %: delivered",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One setting, all seeds together."""

    setting: Setting
    train: Part
    judged: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Of one policy on one demand. Costs are what is minimised: USD of nodes."""

    policy: str
    outcomes: Sequence[Outcome]

    @property
    def chosen(self) -> list[Outcome]:
        """Those that none beats in training, the cheapest first."""
        return [self.outcomes[index] for index in undominated([_usd(each.train) for each in self.outcomes])]

    def usd_at(self, attainment: float) -> float | None:
        """On the judged part; None where the chosen settings do not reach it."""
        return gpu_hours_at([_usd(each.judged) for each in self.chosen], attainment)

    def node_hours_at(self, attainment: float) -> float | None:
        points = [Point(each.judged.node_hours, each.judged.attainment) for each in self.chosen]
        return gpu_hours_at(points, attainment)

    def hindsight_usd_at(self, attainment: float) -> float | None:
        """What the best settings of the same search would have cost, had the judged part been known."""
        return gpu_hours_at([_usd(each.judged) for each in self.outcomes], attainment)

    def deployed_for(self, attainment: float) -> Outcome | None:
        """The cheapest setting that reached it in training: what an admin who wants it would deploy."""
        index = setting_for([_usd(each.train) for each in self.outcomes], attainment)
        return None if index is None else self.outcomes[index]


def best_of(frontiers: Sequence[Frontier]) -> Frontier:
    """The cheapest at 95 % in training, and of those that do not reach it the one that came nearest."""

    def key(each: Frontier) -> tuple[float, float]:
        usd = gpu_hours_at([_usd(one.train) for one in each.outcomes], DEPLOYED_LEVELS[0])
        return (float("inf") if usd is None else usd, -max(one.train.attainment for one in each.outcomes))

    return min(frontiers, key=key)


def row(frontier: Frontier) -> tuple[str, ...]:
    """The cells of HEADER."""
    cells = [frontier.policy]
    cells += [_number(frontier.usd_at(level)) for level in COST_LEVELS]
    cells += [_number(frontier.node_hours_at(level)) for level in COST_LEVELS]
    return (*cells, *(_delivered(frontier.deployed_for(level)) for level in DEPLOYED_LEVELS))


def table(frontiers: Sequence[Frontier]) -> str:
    """Markdown, a row a policy."""
    lines = [HEADER, ("---",) * len(HEADER), *(row(each) for each in frontiers)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _delivered(deployed: Outcome | None) -> str:
    if deployed is None:
        return "not reached in training"
    judged = deployed.judged
    return (
        f"{judged.attainment:.2%} for {_number(judged.usd)}; spot {judged.spot_share:.0%}, {judged.preempted} "
        f"preempted, TTFT p95 {judged.ttft_p95_seconds:.2f} s"
    )


def _usd(part: Part) -> Point:
    return Point(part.usd, part.attainment)


def _number(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
