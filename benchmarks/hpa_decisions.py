"""How many HPA decisions one core makes in a second.

    python benchmarks/hpa_decisions.py [--pods 100] [--decisions 20000] [--quick] [--json PATH]

The unit of work is one `policies.hpa.decide` of one HPA with one Pods metric, a behavior, and `--pods` pods.
100 HPAs with pods of their own take turns, so that one HPA's pods do not just stay in the processor's cache,
and the usage moves so that the scale goes up, goes down and holds. The target is 20,000 HPAs every 15 s, as
in a large cluster. Exits 1 when the median misses it.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from policies.hpa import HPASpec, HPAState, MetricSpec, decide, default_behavior
from policies.snapshot import NS_PER_SECOND, Pod, PodMetrics, PodSample, Snapshot

HPAS = 20_000
SYNC_PERIOD_SECONDS = 15
HPAS_IN_TURN = 100
TARGET_PER_SECOND = HPAS / SYNC_PERIOD_SECONDS
REPEATS = 5
START_NS = 1_800_000_000 * NS_PER_SECOND
METRIC = MetricSpec(type="Pods", name="vllm:num_requests_waiting", average_value_milli=10_000)


def main() -> int:
    arguments = _arguments()
    decisions = 2_000 if arguments.quick else arguments.decisions
    spec = HPASpec(min_replicas=1, max_replicas=2 * arguments.pods, metrics=(METRIC,), behavior=default_behavior())
    snapshots = [_snapshots(hpa, arguments.pods) for hpa in range(HPAS_IN_TURN)]
    _run(spec, snapshots, max(1, decisions // 10))  # the interpreter specializes its bytecode first
    rates = sorted(decisions / _run(spec, snapshots, decisions) for _ in range(REPEATS))
    result = {
        "pods": arguments.pods,
        "decisions": decisions,
        "repeats": REPEATS,
        "decisions_per_second_min": rates[0],
        "decisions_per_second_median": statistics.median(rates),
        "decisions_per_second_max": rates[-1],
        "target_per_second": TARGET_PER_SECOND,
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
    }
    median = statistics.median(rates)
    met = median >= TARGET_PER_SECOND
    lines = (
        f"HPA decisions, one Pods metric, {arguments.pods} pods, one core ({REPEATS} x {decisions:,})",
        f"  {rates[0]:,.0f} / {median:,.0f} / {rates[-1]:,.0f} per second (min/median/max)",
        f"  {1e6 / median:,.1f} microseconds each",
        f"  Python {result['python']}, {result['cpu']}, {result['cores']} cores",
        f"  target {HPAS:,} per {SYNC_PERIOD_SECONDS} s = {TARGET_PER_SECOND:,.0f}/s: {'met' if met else 'MISSED'}",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="HPA decisions per second on one core")
    parser.add_argument("--pods", type=int, default=100, help="pods per HPA (default 100)")
    parser.add_argument("--decisions", type=int, default=20_000, help="decisions per repeat (default 20000)")
    parser.add_argument("--quick", action="store_true", help="2,000 decisions per repeat")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.pods < 1 or arguments.decisions < 1:
        parser.error("--pods and --decisions: must be >= 1")
    return arguments


def _snapshots(hpa: int, pods: int) -> list[Snapshot]:
    """Eight usages around the target; one pod is Pending and one has no sample, as is usual on a ramp."""
    listed = tuple(
        Pod(
            name=f"vllm-{hpa}-6d5f7c9b8-{index:05d}",
            phase="Pending" if index == 1 else "Running",
            ready="False" if index == 1 else "True",
            start_ns=START_NS - 3600 * NS_PER_SECOND,
            ready_transition_ns=START_NS - 3500 * NS_PER_SECOND,
        )
        for index in range(pods)
    )
    return [
        Snapshot(replicas=pods, pods=listed, observations={METRIC.query: _metrics(listed, usage)})
        for usage in (10_000, 13_000, 16_000, 11_500, 10_000, 7_000, 4_000, 8_500)
    ]


def _metrics(pods: Sequence[Pod], usage_milli: int) -> PodMetrics:
    samples = {
        pod.name: PodSample(value_milli=usage_milli + 17 * index, at_ns=START_NS)
        for index, pod in enumerate(pods)
        if index not in (1, 2)
    }
    return PodMetrics(samples)


def _run(spec: HPASpec, snapshots: Sequence[Sequence[Snapshot]], decisions: int) -> float:
    """Seconds for `decisions` syncs, the HPAs in turn, 15 simulated seconds between two of the same HPA."""
    hpas = len(snapshots)
    states = [HPAState()] * hpas
    started = time.perf_counter()
    for index in range(decisions):
        sync, hpa = divmod(index, hpas)
        now_ns = START_NS + sync * SYNC_PERIOD_SECONDS * NS_PER_SECOND
        _, states[hpa] = decide(spec, states[hpa], snapshots[hpa][sync % len(snapshots[hpa])], now_ns)
    return time.perf_counter() - started


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "unknown"


if __name__ == "__main__":
    sys.exit(main())
