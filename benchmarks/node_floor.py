"""Does it pay to keep nodes ahead of pods? Services that share a pool of nodes, with and without a floor under it.

    python benchmarks/node_floor.py [--tables DIR] [--seeds 1,2,3] [--provision 120,300] [--json PATH]

DIR: where ServeGen's m-large-rates.csv.gz and m-small-rates.csv.gz are; left out by default.

Every service runs its own policy; the pool's nodes are billed from the ask to the removal. Without a floor the policy's
knob is varied: that line is what attainment costs by replicas alone. Each setting with a floor is then compared with
the line at its own attainment, linear in log(1 - attainment): minus is cheaper. The first hour is not judged. Requests
and nodes are added up over the seeds.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from policies.baselines.hpa_presets import TotalDemandSpec, total_demand_policy
from policies.capacity.profile import PROFILES
from policies.nodepools.decide import Headroom
from policies.nodepools.spec import PoolSpec
from policies.policy import Policy
from policies.predictive.decide import predictive_policy
from policies.predictive.spec import PredictiveSpec
from simulations.cluster.node_pool import NodePool
from simulations.demand.servegen import read_servegen
from simulations.lead_time import LeadTime, Stage
from simulations.node_loop import NodeLoop
from simulations.scenario import Scenario
from simulations.simulate import simulate_together
from simulations.slo import SLO
from simulations.trace import Demand, Trace

HOURS = 3
JUDGED_FROM_SECONDS = 3_600.0
PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
OBJECTIVE = SLO(ttft_seconds=2.0, tpot_seconds=0.1)
IMAGE_SECONDS, LOAD_SECONDS = 30.0, 60.0
FLOORS = (0.5, 0.8, 0.95)

Knob = float
MakePolicy = Callable[[Knob, float], Policy[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A set of services on one pool. floored: the knobs that are run with a floor as well."""

    name: str
    demands: Callable[[int], list[Demand]]
    gpus_per_node: int
    policy: MakePolicy
    knobs: tuple[Knob, ...]
    floored: tuple[Knob, ...]


@dataclass(slots=True)
class Outcome:
    """Sums over the seeds. started: pods that got a node after the first hour; on_new: those that waited for it."""

    good: int = 0
    requests: int = 0
    node_gpu_hours: float = 0.0
    started: int = 0
    on_new: int = 0

    @property
    def attainment(self) -> float:
        return self.good / self.requests


def main() -> int:
    arguments = _arguments()
    rows = []
    for case in _cases(arguments.tables):
        for provision_seconds in arguments.provision:
            rows += list(_compared(case, provision_seconds, arguments.seeds))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def _cases(tables: Path | None) -> Iterator[Case]:
    for count, base_rps, gpus_per_node in ((8, 1.5, 1), (1, 12.0, 1), (8, 1.5, 4)):
        yield Case(
            name=f"{count} restless, {gpus_per_node} GPU a node",
            demands=partial(_all_restless, count, base_rps),
            gpus_per_node=gpus_per_node,
            policy=_hpa,
            knobs=(32.0, 24.0, 20.0, 16.0, 12.0),
            floored=(32.0, 24.0),
        )
    if tables is not None:
        yield Case(
            name="ServeGen m-large and m-small, 1 GPU a node",
            demands=lambda seed: [
                read_servegen(tables / name, seed=seed, start_seconds=115_200, seconds=HOURS * 3_600, rate_factor=0.03)
                for name in ("m-large", "m-small")
            ],
            gpus_per_node=1,
            policy=_leadtime,
            knobs=(0.9, 0.95, 0.98, 0.99),
            floored=(0.9, 0.95),
        )


def _all_restless(count: int, base_rps: float, seed: int) -> list[Demand]:
    return [restless(100 * seed + number, base_rps) for number in range(count)]


def restless(seed: int, base_rps: float) -> Trace:
    """Poisson; every 40 min in the mean it climbs within 1 min to 1.6 to 3 times as much, for 2 min and more."""
    rng = np.random.default_rng(seed)
    seconds = HOURS * 3_600
    rate = np.full(seconds, base_rps)
    at = rng.exponential(2_400)
    while at < seconds:
        factor, hold = rng.uniform(1.6, 3.0), 120 + int(rng.exponential(600))
        climb = np.concatenate([np.linspace(0, 1, 60), np.ones(hold), np.linspace(1, 0, 180)])
        part = rate[int(at) : int(at) + len(climb)]
        part[:] = np.maximum(part, base_rps * (1.0 + (factor - 1.0) * climb[: len(part)]))
        at += rng.exponential(2_400)
    counts = rng.poisson(rate)
    arrivals = np.sort(np.repeat(np.arange(seconds), counts) + rng.random(counts.sum()))
    prompt = np.clip(rng.lognormal(6.2, 0.8, len(arrivals)), 10, 6_000).astype(np.int32)
    output = np.clip(rng.lognormal(5.0, 0.7, len(arrivals)), 5, 1_500).astype(np.int32)
    return Trace("restless", 1_735_689_600 * 10**9, arrivals, prompt, output, ends_seconds=float(seconds))


def _hpa(target: Knob, provision_seconds: float) -> Policy[Any, Any]:  # noqa: ARG001 - as MakePolicy
    return total_demand_policy(TotalDemandSpec(target_requests=target, max_replicas=60))


def _leadtime(attainment: Knob, provision_seconds: float) -> Policy[Any, Any]:
    return predictive_policy(
        PredictiveSpec(
            profile=PROFILE,
            ttft_seconds=OBJECTIVE.ttft_seconds,
            tpot_seconds=OBJECTIVE.tpot_seconds,
            attainment=attainment,
            max_replicas=60,
            lead_time_seconds=provision_seconds + IMAGE_SECONDS + LOAD_SECONDS,
        )
    )


def _compared(case: Case, provision_seconds: float, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    _say(f"\n{case.name}, nodes in {provision_seconds:g} s: attainment, GPU-hours of nodes, starts on a new node")
    line = []
    for knob in case.knobs:
        outcome = _run(case, provision_seconds, seeds, knob, None)
        line.append((outcome.attainment, outcome.node_gpu_hours))
        yield _row(case, provision_seconds, knob, None, outcome, None)
    for knob in case.floored:
        for quantile in FLOORS:
            outcome = _run(case, provision_seconds, seeds, knob, quantile)
            expected = _hours_at(line, outcome.attainment)
            ratio = None if expected is None else outcome.node_gpu_hours / expected - 1.0
            yield _row(case, provision_seconds, knob, quantile, outcome, ratio)


def _run(case: Case, provision_seconds: float, seeds: Sequence[int], knob: Knob, quantile: float | None) -> Outcome:
    total = Outcome()
    for seed in seeds:
        _add(total, case, provision_seconds, seed, knob, quantile)
    return total


def _add(total: Outcome, case: Case, provision_seconds: float, seed: int, knob: Knob, quantile: float | None) -> None:
    pool = NodePool(name="shared", gpus_per_node=case.gpus_per_node, max_nodes=200, provision=Stage(provision_seconds))
    lead_time = LeadTime(start_median_seconds=provision_seconds + IMAGE_SECONDS, load_median_seconds=LOAD_SECONDS)
    scenarios = [
        Scenario(
            trace=demand,
            profile=PROFILE,
            name=f"service-{number}",
            slo=OBJECTIVE,
            lead_time=lead_time,
            initial_replicas=2,
            seed=seed + 10 * number,
            nodes=pool,
        )
        for number, demand in enumerate(case.demands(seed))
    ]
    spec = PoolSpec(name="shared", gpus_per_node=case.gpus_per_node, max_nodes=200, provision_seconds=provision_seconds)
    loop = NodeLoop(spec, Headroom(quantile=quantile or FLOORS[0]), moves=quantile is not None)
    results = simulate_together([(each, case.policy(knob, provision_seconds)) for each in scenarios], node_loops=[loop])
    for result in results:
        judged = result.arrival_seconds >= JUDGED_FROM_SECONDS
        total.good += int(result.good[judged].sum())
        total.requests += int(judged.sum())
    hours = loop.node_hours(HOURS * 3_600.0) - loop.node_hours(JUDGED_FROM_SECONDS)
    total.node_gpu_hours += hours * case.gpus_per_node
    for asked_at, placed_at in loop.waits():
        if asked_at >= JUDGED_FROM_SECONDS:
            total.started += 1
            total.on_new += placed_at > asked_at


def _hours_at(line: Sequence[tuple[float, float]], attainment: float) -> float | None:
    """GPU-hours on the line at that attainment; None outside of it."""
    points = sorted((-math.log(max(1e-9, 1.0 - reached)), hours) for reached, hours in line)
    at = -math.log(max(1e-9, 1.0 - attainment))
    if not points[0][0] <= at <= points[-1][0]:
        return None
    return float(np.interp(at, [point for point, _ in points], [hours for _, hours in points]))


def _row(
    case: Case, provision_seconds: float, knob: Knob, quantile: float | None, outcome: Outcome, ratio: float | None
) -> dict[str, Any]:
    floor = "no floor    " if quantile is None else f"floor {quantile:<6g}"
    against = "" if quantile is None else "  outside the line" if ratio is None else f"  {ratio:+.1%} against the line"
    _say(
        f"  {knob:>5g}  {floor}  {outcome.attainment:.2%}  {outcome.node_gpu_hours:7.1f}  "
        f"{outcome.on_new:4d} of {outcome.started}{against}"
    )
    row = {"case": case.name, "provision_seconds": provision_seconds, "knob": knob, "floor_quantile": quantile}
    return {**row, **asdict(outcome), "attainment": outcome.attainment, "against_line": ratio}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[1, 2, 3])
    parser.add_argument(
        "--provision", type=lambda text: [float(each) for each in text.split(",")], default=[120.0, 300.0]
    )
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
