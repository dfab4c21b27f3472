"""Runs: policies in the loop of simulated fleets, in virtual time, in process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from policies.errors import BadInput
from policies.policy import Policy, Running
from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.deletion_costs import DeletionCosts
from simulations.fleet import Fleet, advance_together
from simulations.node_loop import NodeLoop, max_replicas_of
from simulations.pipeline import MetricPipeline
from simulations.results import Recorder, Result
from simulations.results.collector import Sink
from simulations.scenario import Scenario

_LONGEST_DRAIN_SECONDS = 7_200

Instant = tuple[int, Literal["scrape", "sync"]]


def instants(fleet: Fleet, policy: Policy[Any, Any]) -> Iterator[Instant]:
    """(second, what is due) in order, until the demand is over and every request is answered.

    A sync comes up to 5 s after a scrape: what a policy sees is never from this instant.
    """
    end = fleet.trace.duration_seconds
    phase = min(5, policy.period_seconds // 2)
    scrape, sync = 0, phase
    while (second := min(scrape, sync)) <= end or (not fleet.finished and second <= end + _LONGEST_DRAIN_SECONDS):
        if scrape == second:
            scrape += policy.scrape_seconds
            yield second, "scrape"
        if sync == second:
            sync += policy.period_seconds
            yield second, "sync"


def simulate(
    scenario: Scenario,
    policy: Policy[Any, Any],
    on_sync: Callable[[Recorder], None] = lambda _: None,
    *,
    file: Sink | None = None,
) -> Result:
    """Run `policy` over the scenario; `on_sync` sees the recorder after each decision.

    file: where each request goes as well, such as a `results.parquet.RequestFile`.
    """
    return simulate_together([(scenario, policy)], on_sync, files=[file])[0]


def simulate_together(
    runs: Sequence[tuple[Scenario, Policy[Any, Any]]],
    on_sync: Callable[[Recorder], None] = lambda _: None,
    *,
    files: Sequence[Sink | None] | None = None,
    node_loops: Sequence[NodeLoop] = (),
) -> list[Result]:
    """Run several workloads, each with its policy, on one cluster: scenarios that name the same pool share its nodes.

    node_loops: move the floors of pools, each after the syncs of its second. The first with spot terms says what stays
    on demand where pods have deletion costs.
    Raises BadInput where two scenarios describe a pool of one name differently, or have one name.
    """
    cluster = _shared_cluster([scenario for scenario, _ in runs])
    loops = [
        _Loop.start(scenario, policy, cluster, file)
        for (scenario, policy), file in zip(runs, files or [None] * len(runs), strict=True)
    ]
    fleets = [loop.recorder.fleet for loop in loops]
    costs = _deletion_costs(runs, node_loops)
    while any(loop.next is not None for loop in loops):
        second = min(loop.next[0] for loop in loops if loop.next is not None)
        advance_together(fleets, second)
        for loop in loops:
            loop.act(second, on_sync)
        for node_loop in node_loops:
            node_loop.act(second, [loop.recorder for loop in loops])
        if costs is not None:
            costs.act(second, [loop.recorder for loop in loops])
    return [loop.recorder.result() for loop in loops]


def _deletion_costs(
    runs: Sequence[tuple[Scenario, Policy[Any, Any]]], node_loops: Sequence[NodeLoop]
) -> DeletionCosts | None:
    """None where no workload has them."""
    by_node = [
        scenario.name
        for scenario, policy in runs
        if scenario.nodes is not None
        and "ByNode" in (scenario.workload.pod_deletion_cost, getattr(policy.spec, "pod_deletion_cost", "Unset"))
        and scenario.workload.kind == "Deployment"
    ]
    with_spot = next((loop for loop in node_loops if loop.spec.spot is not None), None)
    if not by_node:
        return None
    if with_spot is None:
        return DeletionCosts(frozenset(by_node))
    return DeletionCosts(frozenset(by_node), plan=with_spot.spec, headroom=with_spot.headroom)


def _shared_cluster(scenarios: Sequence[Scenario]) -> Cluster | None:
    """The cluster of all pools that the scenarios name; None for a single workload, which has its own."""
    if len(scenarios) == 1:
        return None
    pools: dict[str, NodePool] = {}
    first = scenarios[0]
    for scenario in scenarios:
        if [other.name for other in scenarios].count(scenario.name) > 1:
            raise BadInput(f"workloads: {scenario.name!r} was given twice; give every workload its own name")
        if scenario.nodes is None:
            raise BadInput(f"nodes: workload {scenario.name} has none, must have a pool: workloads share nodes")
        for pool in scenario.pools:
            if pools.setdefault(pool.name, pool) != pool:
                raise BadInput(f"nodes: pool {pool.name} was described in two ways, must be the same for all")
        if scenario.cluster != first.cluster:
            raise BadInput(
                f"cluster: workload {scenario.name} has other rules than {first.name}, must have the same: "
                "workloads share nodes"
            )
    budgets = [budget for scenario in scenarios for budget in scenario.budgets]
    return first.cluster.cluster(pools.values(), seed=first.seed, budgets=budgets)


@dataclass(slots=True)
class _Loop:
    """One workload's fleet with its policy. next: what is due next, None when its run is over."""

    recorder: Recorder
    pipeline: MetricPipeline
    running: Running[Any, Any]
    coming: Iterator[Instant]
    next: Instant | None

    @classmethod
    def start(cls, scenario: Scenario, policy: Policy[Any, Any], cluster: Cluster | None, file: Sink | None) -> "_Loop":
        fleet = Fleet(scenario, cluster)
        coming = instants(fleet, policy)
        return cls(
            Recorder(scenario, policy.name, fleet, file=file, max_replicas=max_replicas_of(policy.spec)),
            MetricPipeline(fleet, policy.queries),
            Running.start(policy),
            coming,
            next(coming),
        )

    def act(self, second: int, on_sync: Callable[[Recorder], None]) -> None:
        """Do what is due at this second; the fleet has been advanced to it."""
        fleet = self.recorder.fleet
        while self.next is not None and self.next[0] == second:
            if self.next[1] == "scrape":
                self.pipeline.scrape()
            else:
                decision = self.running.step(self.pipeline.snapshot(self.running.policy.queries), fleet.now_ns)
                fleet.scale(decision.desired_replicas)
                self.recorder.record(decision)
                for piece in fleet.take():
                    self.recorder.take(piece)
                on_sync(self.recorder)
                self.running.learn_if_due(fleet.now_ns)
            self.next = next(self.coming, None)
