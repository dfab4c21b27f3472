"""What does not add up is named; what does passes."""

from dataclasses import replace
from typing import Any

import pytest

from simulations.conservation import FleetAccounts, check_conservation
from simulations.results.percentiles import Percentiles
from simulations.results.totals import RequestTotals

REQUESTS = RequestTotals(
    outcomes=(0, 90, 3, 4, 2, 1, 5),
    good=80,
    prompt_tokens=100_000,
    output_tokens=20_000,
    served_prompt_tokens=90_000,
    served_output_tokens=18_000,
    lost_output_tokens=400,
    cached_tokens=30_000,
    preemptions=7,
    ttft=Percentiles.of_nothing(),
    tpot=Percentiles.of_nothing(),
    e2e=Percentiles.of_nothing(),
)
FLEET = FleetAccounts(
    requests=105,
    requests_inside=0,
    generation_tokens=18_450,
    restarted_tokens=50,
    preemptions=7,
    gpu_seconds=0.3,
    pod_gpu_seconds=[0.1, 0.1, 0.1],
    kv_blocks=1_000,
    free_kv_blocks=1_000,
)


def test_a_run_that_adds_up_passes() -> None:
    check_conservation(REQUESTS, FLEET)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        pytest.param({"requests": 104}, "105 have an outcome, the demand gave 104", id="a-request-ended-twice"),
        pytest.param({"requests_inside": 1}, "0 are pending, the fleet holds 1", id="a-request-forgotten-inside"),
        pytest.param({"generation_tokens": 18_449}, "= 18,450, the servers counted 18,449", id="a-token-from-nowhere"),
        pytest.param({"generation_tokens": 18_451}, "= 18,450, the servers counted 18,451", id="a-token-lost"),
        pytest.param({"preemptions": 8}, "requests suffered 7, the servers counted 8", id="a-preemption-nobody-felt"),
        pytest.param({"gpu_seconds": 0.31}, "billed are 0.31", id="a-bill-above-the-pods"),
        pytest.param({"free_kv_blocks": 999}, "1 of 1,000 are held by nobody", id="a-leaked-block"),
    ],
)
def test_the_fleets_side(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(AssertionError, match=named):
        check_conservation(REQUESTS, replace(FLEET, **changed))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        pytest.param({"good": 91}, "91 were good, only 90 were served", id="good-but-not-served"),
        pytest.param({"cached_tokens": 90_001}, "90,001 of 90,000 prompt tokens", id="more-cached-than-asked"),
    ],
)
def test_the_requests_side(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(AssertionError, match=named):
        check_conservation(replace(REQUESTS, **changed), FLEET)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(AssertionError, match=r"requests:.*generation tokens:.*KV blocks:"):
        check_conservation(REQUESTS, replace(FLEET, requests=1, generation_tokens=1, free_kv_blocks=1))


def test_requests_under_way_hold_blocks_and_have_tokens_that_no_row_has_yet() -> None:
    under_way = replace(REQUESTS, outcomes=(2, 88, *REQUESTS.outcomes[2:]))
    busy = replace(FLEET, requests_inside=2, generation_tokens=18_900, free_kv_blocks=800)
    check_conservation(under_way, busy)
    with pytest.raises(AssertionError, match="generation tokens"):
        check_conservation(under_way, replace(busy, generation_tokens=18_449))


def test_servers_that_do_not_know_preemptions_are_not_asked() -> None:
    check_conservation(REQUESTS, replace(FLEET, preemptions=None))
