"""How long one core takes to decide for many workloads by leadtime's rule, each with two weeks of history.

    python benchmarks/predictive_decisions.py [--targets 1000] [--pods 5] [--rounds 5] [--quick] [--json PATH]

A round is one decision for every target, 15 s after the one before, with new samples of all its pods. History is what
the rule keeps: 14 days in bins of 30 s, 4 bytes each (policies/predictive/load_history.py). Learning is apart from
decisions, once a day a target; it is timed on one target and given as the share of a core that all would take.
Exits 1 when the median round misses 15 s or memory 500 MB.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from policies.capacity.profile import profile_named
from policies.policy import Policy
from policies.predictive.decide import PredictiveState, predictive_policy
from policies.predictive.load_history import BIN_SECONDS, BINS_PER_DAY, KEPT_DAYS, LoadHistory
from policies.predictive.load_traits import begin
from policies.predictive.observed_load import ObservedLoad
from policies.predictive.spec import PredictiveSpec
from policies.serving_counters import QUERIES
from policies.snapshot import NS_PER_SECOND, Pod, PodMetrics, PodSample, Snapshot

PERIOD_SECONDS = 15
MOST_SECONDS, MOST_MEGABYTES = 15.0, 500.0
WARM_UP_ROUNDS = 2
START_SECONDS = 1_800_000_000
PROMPT, OUTPUT = 1_000, 200


def main() -> int:
    arguments = _arguments()
    targets = 100 if arguments.quick else arguments.targets
    policy = predictive_policy(
        PredictiveSpec(profile=profile_named("llama-3.1-8b-fp8-l4"), tpot_seconds=0.075, max_replicas=100)
    )
    states = [_with_history(seed) for seed in range(targets)]
    pods = [_pods(target, arguments.pods) for target in range(targets)]
    rounds = []
    for number in range(WARM_UP_ROUNDS + arguments.rounds):
        now_ns = (START_SECONDS + number * PERIOD_SECONDS) * NS_PER_SECOND
        snapshots = [_snapshot(each, number, now_ns) for each in pods]
        begun = time.perf_counter()
        for target, snapshot in enumerate(snapshots):
            decision, states[target] = policy.decide(policy.spec, states[target], snapshot, now_ns)
        if number >= WARM_UP_ROUNDS:
            rounds.append(time.perf_counter() - begun)
            assert "needed_replicas" in decision.numbers, decision.message
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    learn_seconds = _learn_seconds(policy, states[0])
    median = statistics.median(rounds)
    scale = arguments.targets / targets
    result = {
        "targets": targets,
        "pods_per_target": arguments.pods,
        "round_seconds": rounds,
        "round_seconds_median": median,
        "peak_megabytes": megabytes,
        "learn_seconds": learn_seconds,
        "learn_share_of_a_core": learn_seconds * targets / 86_400,
    }
    met = median * scale <= MOST_SECONDS and megabytes <= MOST_MEGABYTES
    low, high = min(rounds), max(rounds)
    verdict = "met" if met else "MISSED"
    lines = (
        f"{targets:,} targets of {arguments.pods} pods, {KEPT_DAYS} days in bins of {BIN_SECONDS} s each, one core",
        f"  a round: {low:.2f} / {median:.2f} / {high:.2f} s (min/median/max of {len(rounds)})",
        f"  {1e6 * median / targets:.0f} microseconds a target; peak memory {megabytes:.0f} MB",
        f"  learning: {learn_seconds:.1f} s a target and day, {result['learn_share_of_a_core']:.1%} of a core for all",
        f"  at most {MOST_SECONDS:g} s and {MOST_MEGABYTES:g} MB for {arguments.targets:,}: {verdict}",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if met else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="leadtime's decisions for many targets")
    parser.add_argument("--targets", type=int, default=1_000, help="workloads (default 1000)")
    parser.add_argument("--pods", type=int, default=5, help="pods of each (default 5)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds timed (default 5)")
    parser.add_argument("--quick", action="store_true", help="100 targets")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if min(arguments.targets, arguments.pods, arguments.rounds) < 1:
        parser.error("--targets, --pods and --rounds: must be >= 1")
    return arguments


def _with_history(seed: int) -> PredictiveState:
    """Two weeks of a daily wave with noise, up to now."""
    bins = KEPT_DAYS * BINS_PER_DAY
    at = np.arange(bins)
    noise = np.random.default_rng(seed).normal(0.0, 0.3, bins)
    loads = np.maximum(3.0 + 2.0 * np.sin(2 * np.pi * at / BINS_PER_DAY + seed) + noise, 0.0).astype(np.float32)
    now = START_SECONDS // BIN_SECONDS
    history = LoadHistory(first=now - bins, days=tuple(loads.reshape(KEPT_DAYS, BINS_PER_DAY).copy()))
    load = ObservedLoad(
        history=history, traits=begin(float(loads[-1])), open_bin=now, total=float(loads[-1]), samples=1
    )
    return PredictiveState(load=load)


def _pods(target: int, count: int) -> tuple[Pod, ...]:
    return tuple(Pod(name=f"vllm-{target}-{index}", phase="Running", ready="True") for index in range(count))


def _snapshot(pods: tuple[Pod, ...], number: int, now_ns: int) -> Snapshot:
    """Counters as after `number` scrapes of one request per second and pod."""
    answered = 1_000.0 + number * PERIOD_SECONDS
    shown = (8.0, 0.0, answered, answered * PROMPT, answered * OUTPUT)
    observations = {
        query: PodMetrics({pod.name: PodSample(value_milli=round(1_000 * value), at_ns=now_ns) for pod in pods})
        for query, value in zip(QUERIES, shown, strict=True)
    }
    return Snapshot(replicas=len(pods), pods=pods, observations=observations)


def _learn_seconds(policy: Policy[Any, Any], state: PredictiveState) -> float:
    """A fit, on a week."""
    assert policy.learn is not None
    begun = time.perf_counter()
    after = policy.learn(policy.spec, replace(state, sizing=None), START_SECONDS * NS_PER_SECOND)
    assert after.sizing is not None, "nothing was learned"
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
