"""One run: a policy in the loop of a simulated fleet, in virtual time, in process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from policies.capacity.profile import Profile
from policies.policy import Policy, Running
from simulations.fleet import Fleet, LeadTime
from simulations.pipeline import MetricPipeline
from simulations.results import Recorder, Result
from simulations.slo import SLO
from simulations.trace import Trace

_LONGEST_DRAIN_SECONDS = 7_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything about a run except the policy. Equal scenarios give equal runs."""

    trace: Trace
    profile: Profile
    slo: SLO = field(default_factory=SLO)
    lead_time: LeadTime = field(default_factory=LeadTime)
    initial_replicas: int = 6
    seed: int = 1
    price_per_gpu_hour: float = 0.71

    def fleet(self) -> Fleet:
        """A fresh fleet at second zero."""
        return Fleet(
            self.trace,
            self.profile,
            self.lead_time,
            initial_replicas=self.initial_replicas,
            seed=self.seed,
        )


Instant = tuple[int, Literal["scrape", "sync"]]


def instants(fleet: Fleet, policy: Policy[Any, Any]) -> Iterator[Instant]:
    """(second, what is due) in order, until the trace is over and every request is answered.

    A sync comes up to 5 s after a scrape: what a policy sees is never from this instant.
    """
    end = fleet.trace.duration_seconds
    phase = min(5, policy.period_seconds // 2)
    second = 0
    while second <= end or (not fleet.finished and second <= end + _LONGEST_DRAIN_SECONDS):
        if second % policy.scrape_seconds == 0:
            yield second, "scrape"
        if second % policy.period_seconds == phase:
            yield second, "sync"
        second += 1


def simulate(
    scenario: Scenario, policy: Policy[Any, Any], on_sync: Callable[[Recorder], None] = lambda _: None
) -> Result:
    """Run `policy` over the scenario; `on_sync` sees the recorder after each decision."""
    fleet = scenario.fleet()
    pipeline = MetricPipeline(fleet)
    running = Running.start(policy)
    recorder = Recorder(scenario, policy.name, fleet)
    for second, due in instants(fleet, policy):
        fleet.advance(second)
        if due == "scrape":
            pipeline.scrape()
            continue
        decision = running.step(pipeline.snapshot(policy.queries), fleet.now_ns)
        fleet.scale(decision.desired_replicas)
        recorder.record(decision)
        on_sync(recorder)
    return recorder.result()
