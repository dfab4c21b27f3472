"""The demo's policies by name: each configured for a scenario as a diligent admin would after a load test."""

from collections.abc import Callable
from typing import Any

from policies.capacity.sustained import sustained_batch
from policies.errors import BadInput
from policies.hpa import HPASpec, MetricSpec, hpa_policy
from policies.policy import Policy
from policies.predictive.decide import predictive_policy
from policies.predictive.spec import PredictiveSpec
from simulations.scenario import Scenario
from simulations.trace import Demand

_UTILIZATION = 0.8
"""Share of what one replica sustains within its SLO that the HPA plans with."""

_LOAD_TEST_REQUESTS = 100_000

_WAITING_PER_REPLICA = 5
"""Queue that the HPA tolerates per replica: the guides' starting point of 3 to 5."""


def demo_policy(name: str, scenario: Scenario, max_replicas: int) -> Policy[Any, Any]:
    """The policy of that name, or BadInput that lists the names."""
    if name not in POLICIES:
        raise BadInput(f"--policies: was {name!r}, must be one of {', '.join(POLICIES)}")
    return POLICIES[name](scenario, max_replicas)


def _hpa(scenario: Scenario, max_replicas: int) -> Policy[Any, Any]:
    """The stock HPA on batch size (Pods) and queue size (External), whichever asks for more.

    The batch-size target is what a load test with this demand's mean request would give.
    """
    prompt_tokens, output_tokens = _mean_tokens(scenario.trace)
    batch = sustained_batch(
        scenario.profile,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        tpot_seconds=scenario.slo.tpot_seconds,
    )
    return hpa_policy(
        HPASpec(
            max_replicas=max_replicas,
            metrics=(
                MetricSpec(
                    type="Pods",
                    name="vllm:num_requests_running",
                    average_value_milli=max(1000, round(_UTILIZATION * batch) * 1000),
                ),
                MetricSpec(
                    type="External",
                    name="vllm:num_requests_waiting",
                    average_value_milli=_WAITING_PER_REPLICA * 1000,
                ),
            ),
        )
    )


def _mean_tokens(demand: Demand) -> tuple[float, float]:
    """Mean prompt and output tokens a request, of the first ones: a load test does not see them all."""
    requests = prompts = outputs = 0
    for piece in demand.pieces():
        requests += len(piece)
        prompts += int(piece.prompt_tokens.sum())
        outputs += int(piece.output_tokens.sum())
        if requests >= _LOAD_TEST_REQUESTS:
            break
    return prompts / max(requests, 1), outputs / max(requests, 1)


def _leadtime(scenario: Scenario, max_replicas: int) -> Policy[Any, Any]:
    return predictive_policy(
        PredictiveSpec(
            profile=scenario.profile,
            tpot_seconds=scenario.slo.tpot_seconds,
            ttft_seconds=scenario.slo.ttft_seconds,
            max_replicas=max_replicas,
        )
    )


POLICIES: dict[str, Callable[[Scenario, int], Policy[Any, Any]]] = {"hpa": _hpa, "leadtime": _leadtime}
