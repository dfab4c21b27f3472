"""How long a service takes to simulate in the whole world: spot and on-demand nodes, metric pipeline, autoscaler.

    python benchmarks/cluster_world.py [--days 0.05] [--rate 200] [--policy hpa] [--full] [--json PATH]

--full: 14 days, which take minutes. Demand is a daily curve of that mean; a pool of spot nodes that are preempted
stands before one on demand, under the cluster-autoscaler's rules, with a stockout now and then and starts in stages.

Figures are wall and CPU time of one process, drawing the demand included, compiling the engine not. An event is a
scrape, a sync, a pod that was placed or ended, or a node that came or went. Exits 1 when --full takes more than 10 min
of CPU time.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.baselines.hpa_presets import TotalDemandSpec, total_demand_policy
from policies.capacity.profile import profile_named
from policies.policy import Policy
from policies.predictive.decide import predictive_policy
from policies.predictive.spec import PredictiveSpec
from simulations.cluster.cluster_rules import ClusterRules
from simulations.cluster.machine_pool import machine_pool
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.spot import Spot
from simulations.cluster.zones import RandomStockouts
from simulations.demand.text import demand_from
from simulations.lead_time import Stage
from simulations.results import Result
from simulations.scenario import Scenario, Termination, Workload
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.start.model_load import KeptBy
from simulations.start.presets import GKE_L4_RECORDED

FULL_DAYS = 14.0
TARGET_SECONDS = 600.0
MACHINE = "g2-standard-4"
PROFILE = profile_named("llama-3.1-8b-fp8-l4")
TPOT_SECONDS = 0.1
MOST_REPLICAS = 400


def main() -> int:
    arguments = _arguments()
    days = FULL_DAYS if arguments.full else arguments.days
    policy = _policy(arguments.policy)
    _run(0.002, 20.0, policy)  # compiles the engine
    wall, cpu = time.perf_counter(), time.process_time()
    result, events = _run(days, arguments.rate, policy)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    figures = {
        "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "days": days,
        "policy": arguments.policy,
        "requests": result.summary.requests,
        "pods": len(result.lifelines.pods),
        "nodes": len(result.lifelines.nodes),
        "nodes_taken_back": sum(node.was_taken for node in result.lifelines.nodes),
        "events": events,
        "slo_attainment": result.summary.slo_attainment,
        "cost_usd": result.summary.cost_usd,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "requests_per_cpu_second": result.summary.requests / cpu,
        "two_weeks_seconds": cpu * FULL_DAYS / days,
    }
    _say(figures)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if arguments.full and cpu > TARGET_SECONDS else 0


def _run(days: float, rate: float, policy: Policy[Any, Any]) -> tuple[Result, int]:
    """The run, and its events."""
    scenario = _scenario(days, rate)
    syncs = 0

    def count(_: Any) -> None:
        nonlocal syncs
        syncs += 1

    result = simulate(scenario, policy, count)
    scrapes = int(scenario.trace.duration_seconds // policy.scrape_seconds)
    changes = 2 * (len(result.lifelines.pods) + len(result.lifelines.nodes))
    return result, syncs + scrapes + changes


def _scenario(days: float, rate: float) -> Scenario:
    """A replica of this profile serves some 4 requests/s of this length."""
    demand = demand_from(
        f"diurnal:rate={rate},amplitude=0.6,minutes={1_440 * days:g},prompt_tokens=512,output_tokens=128", seed=1
    )
    zones = ("a", "b")
    spot = Spot(preemptions_per_node_hour=0.02, zone_events_per_hour=0.005)
    return Scenario(
        trace=demand,
        profile=PROFILE,
        slo=SLO(tpot_seconds=TPOT_SECONDS),
        initial_replicas=max(1, round(rate / 8)),
        start=replace(GKE_L4_RECORDED.start, kept_by=KeptBy.NODE),
        workload=Workload(termination=Termination(grace_period_seconds=60.0)),
        nodes=machine_pool("spot", MACHINE, max_nodes=MOST_REPLICAS, zones=zones, spot=spot),
        fallback_pools=(machine_pool("on-demand", MACHINE, max_nodes=MOST_REPLICAS, zones=zones),),
        cluster=ClusterRules(
            autoscaler=NodeAutoscaler.cluster_autoscaler(),
            stockouts=(RandomStockouts(zone="", mean_between_seconds=86_400.0, length=Stage(3_600.0), spot=True),),
        ),
    )


def _policy(name: str) -> Policy[Any, Any]:
    """An HPA on the requests of all replicas, or leadtime's own."""
    if name == "hpa":
        return total_demand_policy(TotalDemandSpec(target_requests=32, max_replicas=MOST_REPLICAS))
    return predictive_policy(PredictiveSpec(profile=PROFILE, tpot_seconds=TPOT_SECONDS, max_replicas=MOST_REPLICAS))


def _say(figures: dict[str, Any]) -> None:
    sys.stdout.write(
        "{days:g} days of {policy}: {requests:,} requests on {pods:,} pods and {nodes:,} nodes, of which "
        "{nodes_taken_back:,} were taken back; attainment {slo_attainment:.2%}, ${cost_usd:,.0f}\n"
        "{events:,} events, {wall_seconds:.1f} s of wall time, {cpu_seconds:.1f} s of CPU time: "
        "{requests_per_cpu_second:,.0f} requests/s, {two_weeks_seconds:.0f} s for 14 days\n".format(**figures)
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=200.0, help="mean requests/s")
    parser.add_argument("--policy", choices=("hpa", "leadtime"), default="hpa")
    parser.add_argument("--full", action="store_true", help="14 days")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
