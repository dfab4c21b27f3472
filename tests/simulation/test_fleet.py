"""The fleet as a Deployment shows it: lead times, readiness, the gateway's queue, scale-down, the bill."""

from typing import Any

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from simulations.fleet import Fleet
from simulations.lead_time import LeadTime
from simulations.scenario import Scenario
from simulations.trace import Trace

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
EXACT = LeadTime(start_median_seconds=100, load_median_seconds=60, sigma=0.0)


def trace(arrivals: list[float], output_tokens: int = 50) -> Trace:
    count = len(arrivals)
    return Trace("test", 0, np.array(arrivals), np.full(count, 100, np.int32), np.full(count, output_tokens, np.int32))


def fleet(arrivals: list[float], initial_replicas: int, lead_time: LeadTime = EXACT, output_tokens: int = 50) -> Fleet:
    return Fleet(
        Scenario(
            trace=trace(arrivals, output_tokens),
            profile=PROFILE,
            lead_time=lead_time,
            initial_replicas=initial_replicas,
        )
    )


def requests(each: Fleet) -> Any:
    """REQUEST records in order of arrival; nothing was taken yet."""
    return each.engine.requests[: each.engine.loaded]


def test_a_new_pod_is_pending_then_loads_then_is_ready() -> None:
    each = fleet([500.0], initial_replicas=1)
    each.advance(10.0)
    each.scale(2)
    seen = []
    for second in (10.0, 109.9, 110.0, 169.9, 170.0):
        each.advance(second)
        pod = each.pod_list()[1]
        seen.append((pod.phase, pod.ready))
    assert seen == [
        ("Pending", "False"),
        ("Pending", "False"),
        ("Running", "False"),
        ("Running", "False"),
        ("Running", "True"),
    ]
    assert each.serves_metrics(each.pods[1])


def test_requests_without_a_ready_pod_wait_at_the_gateway_and_count_from_their_arrival() -> None:
    each = fleet([5.0, 6.0], initial_replicas=0)
    each.scale(1)
    each.advance(100.0)
    assert each.gateway_queue == 2
    each.advance(200.0)
    assert each.gateway_queue == 0
    ttft = requests(each)["first_token"] - requests(each)["arrival"]
    assert ttft == pytest.approx([155.0, 154.0], abs=1.0)


def test_scale_down_takes_pending_pods_first_then_the_youngest_ready_one() -> None:
    each = fleet([1_000.0], initial_replicas=1)
    each.scale(2)
    each.advance(200.0)
    each.scale(3)
    each.advance(210.0)
    each.scale(2)
    assert [pod.name for pod in each.existing()] == ["vllm-0000", "vllm-0001"]
    each.scale(1)
    assert [pod.name for pod in each.existing()] == ["vllm-0000"]


def test_a_deleted_pod_answers_what_it_has_and_gets_nothing_new() -> None:
    each = fleet([1.0, 1.1, 3.0], initial_replicas=2, output_tokens=400)
    each.advance(2.0)
    each.scale(1)
    deleted = each.pods[1]
    assert each.outstanding(deleted) == 1
    assert each.pod_list()[1].deleting
    each.advance(600.0)
    assert each.finished
    assert requests(each)["replica"].tolist() == [0, 1, 0]
    assert deleted.ended == pytest.approx(float(requests(each)["finish"][1]))


def test_the_bill_runs_from_the_ask_to_the_end_within_the_horizon() -> None:
    each = fleet([900.0], initial_replicas=2)
    each.advance(100.0)
    each.scale(3)
    each.advance(400.0)
    each.scale(1)
    each.advance(2_000.0)
    assert [each.gpu_seconds(pod, 1_000.0) for pod in each.pods] == pytest.approx([1_000, 400, 300])


def test_the_nth_pod_takes_as_long_under_every_policy() -> None:
    spread = LeadTime(sigma=0.5)
    eager, late = fleet([900.0], 1, spread), fleet([900.0], 1, spread)
    eager.scale(4)
    late.advance(300.0)
    late.scale(4)
    assert [pod.ready_at - pod.created for pod in eager.pods] == pytest.approx(
        [pod.ready_at - pod.created for pod in late.pods]
    )


def test_more_pods_than_rows_keep_what_the_servers_were_doing() -> None:
    each = fleet([float(second) for second in range(40)], initial_replicas=15, output_tokens=300)
    each.advance(20.0)
    before = [each.outstanding(pod) for pod in each.pods]
    each.scale(40)
    assert [each.outstanding(pod) for pod in each.pods[:15]] == before
    each.advance(1_000.0)
    assert each.finished
