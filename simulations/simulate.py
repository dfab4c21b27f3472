"""One run: a policy in the loop of a simulated fleet, in virtual time, in process."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from policies.policy import Policy, Running
from simulations.fleet import Fleet
from simulations.pipeline import MetricPipeline
from simulations.results import Recorder, Result
from simulations.scenario import Scenario

_LONGEST_DRAIN_SECONDS = 7_200


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
