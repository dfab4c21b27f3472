"""When what was counted of late belongs to the load of now, and what a replica's capacity is taken for meanwhile."""

import pytest

from policies.capacity.profile import PROFILES
from policies.policy import Running
from policies.predictive.decide import predictive_policy
from policies.predictive.missed import missed_queries
from policies.predictive.settled import Settled
from policies.predictive.spec import PredictiveSpec
from policies.serving_counters import QUERIES
from policies.snapshot import NS_PER_SECOND, ExternalMetric, Pod, PodMetrics, PodSample, Snapshot


def pods(count: int, ready_second: int = 0) -> Snapshot:
    names = [f"vllm-{number}" for number in range(count)]
    ready_ns = ready_second * NS_PER_SECOND
    return Snapshot(
        replicas=count,
        pods=tuple(Pod(name=name, phase="Running", ready="True", ready_transition_ns=ready_ns) for name in names),
    )


@pytest.mark.parametrize(
    ("samples", "second", "is_settled"),
    [
        pytest.param([(0, pods(2), 0), (85, pods(2), 0)], 85, True, id="the-same-pods-for-a-window-and-a-request"),
        pytest.param([(0, pods(2), 0), (84, pods(2), 0)], 84, False, id="a-second-too-soon"),
        pytest.param([(0, pods(2), 0), (80, pods(3), 0), (90, pods(3), 0)], 90, False, id="one-more-pod"),
        pytest.param([(0, pods(2), 0), (80, pods(2, 70), 0), (90, pods(2, 70), 0)], 90, False, id="one-for-another"),
        pytest.param([(0, pods(2), 0), (80, pods(2), 9), (90, pods(2), 0)], 90, False, id="a-queue"),
        pytest.param([(0, pods(2), 0), (80, pods(2), 1), (90, pods(2), 1)], 90, True, id="a-queue-of-a-moment"),
    ],
)
def test_settled(samples: list[tuple[int, Snapshot, float]], second: int, is_settled: bool) -> None:
    settled = Settled()
    for at_second, snapshot, backlog in samples:
        settled = settled.seen(at_second * NS_PER_SECOND, snapshot, backlog=backlog, started_per_second=2.0)
    assert settled.is_settled(second * NS_PER_SECOND, request_seconds=25.0) == is_settled


def test_before_the_first_sample_nothing_is_settled() -> None:
    assert not Settled().is_settled(10**18, request_seconds=0.0)


PROMPT, OUTPUT = 200, 100
SPEC = PredictiveSpec(profile=PROFILES["llama-3.1-8b-fp8-l4"], tpot_seconds=0.075, max_replicas=60)


def capacity_after(missed_percent: dict[int, float]) -> float:
    """Of one replica, after an overload of one that ends at second 300, when nine more become ready.

    missed_percent: of requests above the TPOT target, by the second from which it is told.
    """
    policy = Running.start(predictive_policy(SPEC))
    ttft, tpot = missed_queries(SPEC.ttft_seconds, SPEC.tpot_seconds)
    numbers: dict[str, float] = {}
    for second in range(15, 901, 15):
        fleet = pods(10, 300) if second >= 300 else pods(1)
        share = missed_percent[max(since for since in missed_percent if since <= second)]
        observations = {}
        for index, query in enumerate(QUERIES):
            served = 30.0 * second / len(fleet.pods)
            running = 200.0 if second < 300 else 11.4  # as the profile has it for 3 requests/s a replica
            value = (running, 0.0, served, served * PROMPT, served * OUTPUT)[index]
            sample = PodSample(value_milli=round(value * 1000), at_ns=second * NS_PER_SECOND)
            observations[query] = PodMetrics({pod.name: sample for pod in fleet.pods})
        external = {ttft: ExternalMetric((0,)), tpot: ExternalMetric((round(share * 1000),))}
        snapshot = Snapshot(replicas=10, pods=fleet.pods, observations={**observations, **external})
        numbers = dict(policy.step(snapshot, second * NS_PER_SECOND).numbers)
    return numbers["capacity_requests_per_second"]


def test_what_missed_before_pods_came_is_not_laid_to_a_replicas_account_after() -> None:
    """A minute's window still tells of the overload when ten replicas share the load already."""
    calm = capacity_after({0: 0.0})
    after_overload = capacity_after({0: 100.0, 360: 0.0})
    assert after_overload == pytest.approx(calm, rel=0.05)


def test_what_goes_on_missing_is() -> None:
    """Ten settled replicas with room that miss a tenth differ more among requests than was thought."""
    assert capacity_after({0: 0.0, 400: 10.0}) < 0.9 * capacity_after({0: 0.0})
