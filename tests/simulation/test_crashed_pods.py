"""Crashes as a Deployment shows them: a container that restarts, its metrics, its requests, and the bill."""

from typing import Any

import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from simulations.exporter import vllm_page, vllm_series
from simulations.fleet import Fleet
from simulations.lead_time import LeadTime
from simulations.request_rows import OUTCOMES
from simulations.scenario import Failures, Scenario, Timeouts
from simulations.trace import Trace

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
EXACT = LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, sigma=0.0)


def fleet(arrivals: list[float], *, output_tokens: int = 400, **fields: Any) -> Fleet:
    trace: Trace = trace_of(arrivals, 100, output_tokens)
    return Fleet(Scenario(trace=trace, profile=PROFILE, lead_time=EXACT, **fields))


def crashed(seed: int = 3, *, retry: bool = True, arrivals: list[float] | None = None) -> tuple[Fleet, float]:
    """A fleet of one pod at the instant of its first crash, and that instant."""
    failing = Failures(mtbf_seconds=300.0, retry=retry)
    each = fleet(arrivals or [1.0, 5_000.0], initial_replicas=1, failures=failing, seed=seed)
    at = each.pods[0].fails_at
    assert 1.0 < at < 5_000.0, f"{seed=}"
    each.advance(at)
    return each, at


def test_a_crashed_pod_is_ready_again_one_load_time_later() -> None:
    """The container restarts at once on its node, which has the image: only the model is loaded anew."""
    each, at = crashed()
    pod = each.pods[0]
    states = []
    for second in (at, at + 59.9, at + 60.0):
        each.advance(second)
        shown = each.pod_list()[0]
        states.append((shown.phase, shown.ready, each.serves_metrics(pod)))
    assert states == [("Running", "False", False), ("Running", "False", False), ("Running", "True", True)]
    assert (pod.restarts, pod.created, pod.first_ready_at) == (1, 0.0, 0.0)
    assert pod.ready_at == pytest.approx(at + 60.0)
    assert each.pod_list()[0].ready_transition_ns == each.trace.start_ns + round((at + 60.0) * 1e9)
    assert len(each.pods) == 1, "a container restart is not a new pod"


def test_a_crash_comes_at_the_same_instant_however_time_is_advanced() -> None:
    each, at = crashed()
    other = fleet([1.0, 5_000.0], initial_replicas=1, failures=Failures(mtbf_seconds=300.0), seed=3)
    for second in range(int(at) + 200):
        other.advance(float(second))
    each.advance(other.now_seconds)
    assert other.pods[0].restarts == each.pods[0].restarts > 0
    assert other.pods[0].ready_at == each.pods[0].ready_at


def test_counters_and_histograms_begin_at_zero_after_a_restart() -> None:
    """As those of a real container do; the gauges are those of an empty server."""
    each, at = crashed(arrivals=[0.5, 0.6, 5_000.0])
    before = fleet([0.5, 0.6, 5_000.0], initial_replicas=1, seed=3)
    before.advance(at)
    assert vllm_series(before, before.pods[0])["vllm:generation_tokens_total"] > 0
    assert not all_zero(vllm_page(before, before.pods[0]))
    each.advance(at + 61.0)
    assert set(vllm_series(each, each.pods[0]).values()) == {0.0}
    assert all_zero(vllm_page(each, each.pods[0]))


def all_zero(page: str) -> bool:
    """Whether every sample of a metrics page is 0."""
    samples = [line for line in page.splitlines() if not line.startswith("#")]
    return {float(line.rpartition(" ")[2]) for line in samples} == {0.0}


@pytest.mark.parametrize(("retry", "outcome"), [(True, "served"), (False, "failed")])
def test_what_a_crashed_pod_had_is_sent_again_or_fails(retry: bool, outcome: str) -> None:
    """The request arrives a second before the crash; the only pod is back 60 s after it, with the answer to begin."""
    _, at = crashed()
    each, _ = crashed(retry=retry, arrivals=[at - 1.0, 5_000.0])
    assert each.gateway_queue == retry
    each.advance(at + 60.0)
    assert each.gateway_queue == 0
    each.advance(at + 120.0)
    row = each.engine.requests[0]
    assert OUTCOMES[row["outcome"]] == outcome
    if retry:
        assert row["enqueued"] == pytest.approx(at + 60.0)
        assert row["first_token"] > at + 60.0
    assert (each.engine.restarted_tokens > 0) == retry


def test_a_fleet_without_a_ready_pod_times_requests_out_at_the_gateway() -> None:
    """The first pod is ready at 160 s: of a request every 20 s, those before 100 s waited 60 s in vain."""
    arrivals = [20.0 * number for number in range(12)]
    each = fleet(arrivals, output_tokens=5, initial_replicas=0, timeouts=Timeouts(gateway_seconds=59.0))
    each.scale(1)
    each.advance(600.0)
    outcomes = [OUTCOMES[code] for code in each.engine.requests["outcome"][:12]]
    assert outcomes == ["timed_out"] * 6 + ["served"] * 6
    waited = each.engine.requests["enqueued"][6:12] - arrivals[6:]
    assert waited.tolist() == pytest.approx([40.0, 20.0, 0.0, 0.0, 0.0, 0.0])


def test_a_pod_that_crashes_while_it_drains_ends_then() -> None:
    """It is not started again: nobody wants it, and it is billed until the crash."""
    _, at = crashed()
    each = fleet([at - 1.0, 5_000.0], initial_replicas=1, failures=Failures(mtbf_seconds=300.0), seed=3)
    each.advance(at - 0.5)
    each.scale(0)
    pod = each.pods[0]
    each.advance(at + 100.0)
    assert pod.ended == pytest.approx(at)
    assert not each.existing()
    assert each.gpu_seconds(pod, 1e6) == pytest.approx(at)
    assert each.gateway_queue == 1


def test_a_drained_pod_has_ended_even_if_it_would_have_crashed_before_that_is_noticed() -> None:
    """Its last answer comes about 0.65 s before the crash, and drained pods are looked at once a second."""
    _, at = crashed()
    failing = Failures(mtbf_seconds=300.0)
    each = fleet([at - 0.7, 5_000.0], output_tokens=1, initial_replicas=1, failures=failing, seed=3)
    each.advance(at - 0.7)
    each.scale(0)
    pod = each.pods[0]
    assert each.outstanding(pod) == 1
    each.advance(at + 100.0)
    assert pod.restarts == 0
    assert pod.ended == pytest.approx(float(each.engine.requests["finish"][0]), abs=PROFILE.request_overhead_seconds)
    assert pod.ended < at - 0.4
