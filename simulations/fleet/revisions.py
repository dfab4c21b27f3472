"""The two revisions of a fleet's pods: what each starts with, and how far the rollout between them is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from policies.errors import BadInput
from simulations.engine import Engine, ServerModel, layout
from simulations.fleet.pod import SimulatedPod
from simulations.fleet.rollout import AttainmentCounts, RevisionStatus, Rollout, SeenNow, Sizes, StrategyRun
from simulations.fleet.routed_canary import RoutedCanary
from simulations.fleet.server_model import server_model
from simulations.lead_time import ContainerStart, Draws, LeadTime
from simulations.start.staged_pod import Disk, StagedDraws
from simulations.start.staged_start import StagedStart

if TYPE_CHECKING:
    from simulations.scenario import Scenario
    from simulations.slo import SLO

OLD, NEW = "1", "2"


@dataclass(slots=True)
class Revisions:
    """run: the rollout at work, None before it begins and where there is none. sizes: spec.replicas by revision."""

    scenario: "Scenario"
    models: list[ServerModel] = field(init=False)
    run: StrategyRun | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    _draws: dict[str, Draws | StagedDraws] = field(init=False)
    _counts: AttainmentCounts = field(default_factory=AttainmentCounts)

    def __post_init__(self) -> None:
        scenario, rollout = self.scenario, self.scenario.rollout
        self.models = [server_model(scenario.profile, scenario.serving, scenario.disaggregation)]
        old = _draws(scenario.start, scenario.lead_time, scenario.seed)
        self._draws = {OLD: old, NEW: old}
        if rollout is None:
            return
        if scenario.workload.kind != "Deployment":
            raise BadInput(f"rollout: was given for a {scenario.workload.kind}, must be of a Deployment; leave it out")
        rollout.check(scenario.profile)
        self.models.append(server_model(rollout.profile or scenario.profile, scenario.serving, scenario.disaggregation))
        if rollout.start is not None or rollout.lead_time is not None:
            self._draws[NEW] = _draws(rollout.start, rollout.lead_time or scenario.lead_time, scenario.seed)

    @property
    def next_event_seconds(self) -> float:
        """When the rollout begins or has something to do; inf without one."""
        rollout: Rollout | None = self.scenario.rollout
        if rollout is None:
            return math.inf
        return rollout.at_seconds if self.run is None else self.run.next_event_seconds

    def begin_if_due(self, now_seconds: float, replicas: int) -> None:
        """Apply the new pod template when its time has come."""
        rollout = self.scenario.rollout
        if rollout is not None and self.run is None and now_seconds >= rollout.at_seconds:
            self.run = rollout.strategy.begin(now_seconds, replicas)
            self.sizes = {OLD: replicas, NEW: 0}

    def next_sizes(self, pods: Iterable[SimulatedPod], engine: Engine, now_seconds: float, replicas: int) -> bool:
        """Ask the strategy once; whether `sizes` have changed."""
        assert self.run is not None
        wanted = [pod for pod in pods if pod.is_wanted]
        for pod in wanted:
            self.note(pod, engine)
        status = {
            revision: RevisionStatus(
                replicas=self.sizes[revision],
                available=sum(pod.row is not None and pod.revision == revision for pod in wanted),
            )
            for revision in (OLD, NEW)
        }
        seen = SeenNow(now_seconds=now_seconds, desired=replicas, old=status[OLD], new=status[NEW], counts=self._counts)
        before = Sizes(self.sizes[OLD], self.sizes[NEW])
        after = self.run.sizes(seen)
        self.sizes = {OLD: after.old, NEW: after.new}
        return after != before

    def routes(self, pod: SimulatedPod) -> bool:
        """Whether the router may send requests to it, should it be Ready."""
        if self.run is None:
            return True
        return self.run.routes_new() if pod.revision == NEW else self.run.routes_old()

    @property
    def split_seed(self) -> int | None:
        """Of the draws that send requests to a revision by weight; None where no strategy does."""
        rollout = self.scenario.rollout
        return self.scenario.seed if rollout is not None and isinstance(rollout.strategy, RoutedCanary) else None

    def split(self, engine: Engine) -> None:
        """Tell the router which share of the requests the new revision gets now."""
        if self.split_seed is not None and self.run is not None:
            engine.split(self.model(NEW), self.run.share_of_new)

    def start(self, revision: str, number: int, disk: Disk | None) -> ContainerStart:
        """For the n-th pod of the fleet."""
        draws = self._draws[revision]
        return draws.pod(number, disk) if isinstance(draws, StagedDraws) else draws.pod(number)

    def model(self, revision: str) -> int:
        """Index of its servers' model."""
        return len(self.models) - 1 if revision == NEW else 0

    def note(self, pod: SimulatedPod, engine: Engine) -> None:
        """Remember how well a server of the new revision did up to now."""
        if self.run is not None and pod.revision == NEW and pod.row is not None:
            self._counts.by_pod[pod.uid] = _within(engine, pod.row, self.scenario.slo)


def _draws(start: StagedStart | None, lead_time: LeadTime, seed: int) -> Draws | StagedDraws:
    return Draws(lead_time, seed) if start is None else StagedDraws(start, seed)


def _within(engine: Engine, row: int, slo: "SLO") -> tuple[int, int]:
    """(within the SLO, all) of what a server answered, by its own histograms, as an analysis in a cluster has it.

    Buckets that reach beyond a target count as beyond it; of requests that miss TTFT and of those that miss TPOT the
    greater number counts, as histograms do not say how many miss both.
    """
    missed, total = 0, 0
    for which, bounds, target in (
        (layout.TTFT, layout.TTFT_BOUNDS, slo.ttft_seconds),
        (layout.TPOT, layout.TPOT_BOUNDS, slo.tpot_seconds),
    ):
        counts = engine.histogram(row, which)
        inside = int(counts[: np.searchsorted(bounds, target, side="right")].sum())
        total = max(total, int(counts.sum()))
        missed = max(missed, int(counts.sum()) - inside)
    return total - missed, total
