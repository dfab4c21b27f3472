"""Small runs that pages are made of, and what a page holds."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from policies.decision import Decision
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, Snapshot
from simulations.cluster.node_pool import NodePool
from simulations.lead_time import LeadTime, Stage
from simulations.results import Result
from simulations.scenario import Failures, Scenario
from simulations.simulate import simulate
from simulations.slo import SLO

SLO_OF_TESTS = SLO(ttft_seconds=0.5, tpot_seconds=0.06)


def wanting(steps: Mapping[int, int], name: str = "told") -> Policy[Any, None]:
    """A policy that asks for so many replicas from that second on."""

    def decide(spec: Any, state: None, snapshot: Snapshot, now_ns: int) -> tuple[Decision, None]:  # noqa: ARG001
        wanted = [count for second, count in spec.items() if second * NS_PER_SECOND <= now_ns]
        return Decision(desired_replicas=wanted[-1], reason="Test", message="as told"), state

    return Policy(name=name, decide=decide, spec=steps, initial_state=None, queries=())


def scenario(seconds: float, rate: float = 4.0, **changes: Any) -> Scenario:
    """Poisson requests, in the middle third three times as many."""
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(1.0 / (3 * rate), int(4 * rate * seconds)))
    middle = (arrivals > seconds / 3) & (arrivals < 2 * seconds / 3)
    arrivals = arrivals[(arrivals < seconds) & (middle | (rng.random(len(arrivals)) < 1 / 3))]
    fields = {
        "trace": trace_of(arrivals, 300, 80, ends_seconds=seconds),
        "profile": PROFILES["llama-3.1-8b-fp8-l4"],
        "slo": SLO_OF_TESTS,
        "lead_time": LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, sigma=0.2),
        "initial_replicas": 2,
    }
    return Scenario(**(fields | changes))


def nodes(**changes: Any) -> NodePool:
    """Two GPUs a node at 1.7 USD an hour, gone after 2 min without a pod."""
    fields = {
        "name": "l4-pool",
        "gpus_per_node": 2,
        "max_nodes": 6,
        "price_per_node_hour": 1.7,
        "unneeded_seconds": 120.0,
        "provision": Stage(80.0, 0.2),
    }
    return NodePool(**(fields | changes))


def run(seconds: float = 3_600.0, policy: str = "told", **changes: Any) -> Result:
    """Up to six replicas in the middle third and back; servers crash now and then."""
    fields = {"failures": Failures(mtbf_seconds=2_000.0)} | changes
    third = seconds / 3
    steps = {0: 2, int(third): 4, int(third) + 120: 6, int(2 * third): 3, int(2 * third) + 300: 1}
    return simulate(scenario(seconds, **fields), wanting(steps, policy))


def figures(page: str) -> dict[str, Any]:
    """What the page's script draws, by name."""
    text = page.rsplit('id="figures">', 1)[1].split("</script>", 1)[0].replace("<\\/", "</")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def numbers(encoded: Any) -> list[float]:
    """A plot's numbers: a list as it is, an array as base64."""
    if isinstance(encoded, list):
        return encoded
    decoded: list[float] = np.frombuffer(base64.b64decode(encoded["bdata"]), encoded["dtype"]).tolist()
    return decoded


def lines(figure: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A plot's traces by name."""
    named: Sequence[Mapping[str, Any]] = figure["data"]
    return {trace["name"]: trace for trace in named}
