"""Every policy of the registry in the loop of a simulated fleet, on the first minutes of the shipped trace."""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from policies.capacity.profile import profile_named
from policies.policy import Policy
from policies.registry import ENTRIES, configured, required
from simulations.results import Result
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

MINUTES = 8
REQUIRED = {"profile": "llama-3.1-8b-fp8-l4", "tpot_seconds": "0.075"}


@cache
def run(name: str) -> Result:
    scenario = Scenario(
        trace=read_trace(SHIPPED).first(60 * MINUTES),
        profile=profile_named(REQUIRED["profile"]),
        slo=SLO(ttft_seconds=2.0, tpot_seconds=float(REQUIRED["tpot_seconds"])),
        initial_replicas=3,
    )
    return simulate(scenario, policy(name))


def policy(name: str) -> Policy[Any, Any]:
    return configured(name, {each: REQUIRED[each] for each in required(ENTRIES[name])})


@pytest.mark.parametrize("name", ENTRIES)
def test_every_request_is_answered(name: str) -> None:
    result = run(name)
    unanswered = int(np.isnan(result.ttft_seconds).sum())
    assert unanswered == result.summary.rejected_requests, (
        f"{unanswered} of {result.summary.requests} requests were never answered and "
        f"{result.summary.rejected_requests} were refused; last decision: {result.moments[-1].decision.message}"
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_bounds_hold(name: str) -> None:
    spec = policy(name).spec
    low = getattr(spec, "min_replicas", 0)
    high = getattr(spec, "max_replicas", 0) or 10_000  # 0 is unlimited, to Knative
    for moment in run(name).moments:
        assert moment.replicas == moment.decision.desired_replicas
        assert low <= moment.replicas <= high, f"at {moment.second} s: {moment.decision.message}"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_decision_gives_its_reason_in_words_and_numbers(name: str) -> None:
    replicas = 3
    for moment in run(name).moments:
        decision = moment.decision
        assert decision.reason.isidentifier(), f"{decision.reason!r} is not one CamelCase word"
        assert decision.reason[0].isupper()
        assert decision.message.strip()
        assert "\n" not in decision.message
        assert all(isinstance(value, int | float) for value in decision.numbers.values())
        if decision.desired_replicas != replicas:
            assert str(decision.desired_replicas) in decision.message
        replicas = decision.desired_replicas


@pytest.mark.parametrize("name", ENTRIES)
def test_decisions_come_at_the_policy_s_own_period(name: str) -> None:
    seconds = [moment.second for moment in run(name).moments]
    assert {after - before for before, after in pairwise(seconds)} == {policy(name).period_seconds}


@pytest.mark.parametrize("name", ENTRIES)
def test_metrics_reach_the_policy(name: str) -> None:
    """No query stays unanswered all the way: a misspelt name would be frozen, and look patient."""
    reasons = {moment.decision.reason for moment in run(name).moments if moment.second > 60}
    assert not all(reason.startswith("Failed") for reason in reasons), reasons
