"""How many requests a second one core simulates, beside a C program of the same scheduler, in one run.

    python benchmarks/simulator.py [TRACE] [--tables PREFIX] [--days 0.25] [--requests 1000000] [--quick] [--json PATH]

TRACE: a recording in any format that `leadtime simulate` reads; the shipped hour by default. The C program
(benchmarks/bound.c) takes Azure CSV and needs a C compiler; without either its columns say so.
--tables: ServeGen tables, streamed for --days at full rate with router, metric pipeline and an autoscaler in the loop
(two weeks of the large model: --days 14, minutes of work); left out by default.

Every figure is CPU time of one core, from the requests in memory to the finished table of requests, of the whole
repeats alternated with those of the C program; the ratio is of the medians. Exits 1 when a target is missed.
"""

import argparse
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from policies.capacity.profile import profile_named
from policies.hpa import HPASpec, MetricSpec, hpa_policy
from simulations.demand.servegen import read_servegen
from simulations.demand.text import demand_from
from simulations.engine import Engine, Router, ServerModel
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.trace import SHIPPED, Demand, Prefixes, Trace
from simulations.trace_files import read_trace

TARGET_PER_SECOND = 1e6
GOAL_RATIO = 4.0
TARGET_WEEKS_SECONDS = 480.0
BOUND_SOURCE = Path(__file__).with_name("bound.c")

MODEL = ServerModel(
    base=6e-3,
    per_prefill_token=62e-6,
    per_decode_seq=10e-6,
    per_kv_token=80e-9,
    kv_blocks=27_000,
    max_num_seqs=256,
    max_num_batched_tokens=2_048,
)
"""The C program's own coefficients and limits."""


def main() -> int:
    arguments = _arguments()
    trace = read_trace(arguments.trace)
    repeats = 3 if arguments.quick else 9
    result: dict[str, Any] = {"machine": _machine(), "trace": trace.name, "requests": len(trace)}
    result["set_up"] = _set_up()
    _say(f"{len(trace):,} requests of {trace.name}; {result['machine']['cpu']}, {result['machine']['cores']} cores")
    _say(
        "set-up of the engine in a new process: first {first_seconds:.1f} s (compiles), later {later_seconds:.2f} s",
        result["set_up"],
    )
    result["servers"] = list(_beside_the_bound(trace, arguments.trace, repeats))
    result["features"] = list(_features(trace, repeats))
    result["sizes"] = list(_sizes([10**5, 10**6] if arguments.quick else arguments.sizes))
    if arguments.tables is not None:
        result["weeks"] = _whole(arguments.tables, arguments.days)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    missed = [f"{row['servers']} servers" for row in result["servers"] if row["per_second"] < TARGET_PER_SECOND]
    if "weeks" in result and result["weeks"]["two_weeks_seconds"] > TARGET_WEEKS_SECONDS:
        missed.append("two weeks at full rate")
    _say(f"targets: {'MISSED: ' + ', '.join(missed) if missed else 'met'}")
    return 1 if missed else 0


def _beside_the_bound(trace: Trace, path: Path, repeats: int) -> Iterator[dict[str, Any]]:
    _say("\nround robin, beside the C program (requests/s: median, minimum to maximum)")
    _served(trace.first(60.0), MODEL, 1, Router())  # compiled before anything is timed
    with _bound(path) as run_bound:
        for servers in (1, 4, 16):
            ours, bound = [], []
            for _ in range(repeats):
                ours.append(_timed(lambda n=servers: _served(trace, MODEL, n, Router(policy="round-robin"))))
                bound.append(run_bound(servers) if run_bound else None)
            row: dict[str, Any] = {"servers": servers, **_rates(len(trace), ours)}
            text = f"  {servers:2d} servers  {_shown(row)}"
            if run_bound:
                ratio = statistics.median(ours) / statistics.median(bound)
                row |= {"bound": _rates(len(trace), bound), "ratio_to_bound": ratio}
                text += f"   C {_shown(row['bound'])}   {ratio:.1f} x the C program's time (goal {GOAL_RATIO:g})"
            _say(text)
            yield row


def _features(trace: Trace, repeats: int) -> Iterator[dict[str, Any]]:
    _say("\n16 servers, one feature at a time, against least outstanding without it")
    scored = Router(policy="scored", queue_weight=1.0)
    cases: list[tuple[str, Trace, ServerModel, Router]] = [
        ("least outstanding", trace, MODEL, Router()),
        ("queue-aware, fresh signals", trace, MODEL, scored),
        ("queue-aware, signals of 50 ms", trace, MODEL, replace(scored, signal_interval_seconds=0.05)),
        ("prefix cache, 512 shared tokens", _sharing(trace), replace(MODEL, prefix_caching=True), Router()),
        (
            "prefix cache and prefix-aware",
            _sharing(trace),
            replace(MODEL, prefix_caching=True),
            Router(policy="scored", queue_weight=2.0, kv_weight=2.0, prefix_weight=3.0),
        ),
        ("LoRA, 8 of 32 adapters", _adapted(trace), replace(MODEL, max_loras=8, lora_load_seconds=0.01), Router()),
        ("priorities", _urgent(trace), replace(MODEL, priority_scheduling=True), Router()),
        ("prefill attention", trace, replace(MODEL, per_prefill_context_token=5e-9), Router()),
    ]
    for _, demand, model, router in cases:
        _served(demand.first(60.0), model, 1, router)
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(repeats):
        for (_, demand, model, router), seconds in zip(cases, times, strict=True):
            seconds.append(_timed(lambda d=demand, m=model, r=router: _served(d, m, 16, r)))
    plain = statistics.median(times[0])
    for (name, *_), seconds in zip(cases, times, strict=True):
        row = {"feature": name, **_rates(len(trace), seconds), "ratio": statistics.median(seconds) / plain}
        _say(f"  {name:32s} {_shown(row)}   {row['ratio']:.2f} x")
        yield row
    scenario = Scenario(trace=trace, profile=profile_named("llama-3.1-8b-h100"), initial_replicas=4)
    simulate(replace(scenario, trace=trace.first(60.0)), _autoscaler())
    seconds = [_timed(lambda: simulate(scenario, _autoscaler())) for _ in range(repeats)]
    row = {"feature": "router, metric pipeline, HPA", **_rates(len(trace), seconds), "ratio": None}
    _say(f"  {row['feature']:32s} {_shown(row)}   the whole loop: pods, scrapes, decisions, results")
    yield row


def _sizes(sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    _say("\nPoisson demand on 8 servers, streamed: cost a request, demand's own drawing included")
    for size in (1_000, *sizes):
        rate = 80.0
        demand = demand_from(f"poisson:rate={rate},minutes={size / rate / 60},prompt_tokens=512,output_tokens=200")
        seconds = _timed(lambda d=demand: _served(d, MODEL, 8, Router()))
        if size == 1_000:  # it compiled the demand's own drawing
            continue
        row = {"requests": size, "nanoseconds_per_request": seconds / size * 1e9, "peak_memory_gb": _peak_gb()}
        _say(f"  {size:>11,d} requests  {row['nanoseconds_per_request']:6.0f} ns each, peak memory {_peak_gb():.2f} GB")
        yield row


def _whole(prefix: Path, days: float) -> dict[str, Any]:
    _say(f"\n{prefix.name}, {days:g} days at full rate: router, metric pipeline, an HPA every 15 s, results")
    demand = read_servegen(prefix, seconds=days * 86_400)
    scenario = Scenario(trace=demand, profile=profile_named("llama-3.1-8b-h100"), initial_replicas=16)
    started = time.process_time()
    result = simulate(scenario, _autoscaler())
    seconds = time.process_time() - started
    summary = result.summary
    row = {
        "days": days,
        "requests": summary.requests,
        "seconds": seconds,
        "requests_per_second": summary.requests / seconds,
        "two_weeks_seconds": seconds * 14 / days,
        "peak_memory_gb": _peak_gb(),
        "slo_attainment": summary.slo_attainment,
        "gpu_hours": summary.gpu_hours,
        "rescales": summary.rescales,
    }
    _say(
        f"  {summary.requests:,} requests in {seconds:.1f} s CPU: {row['requests_per_second'] / 1e6:.2f} M/s, peak "
        f"memory {row['peak_memory_gb']:.2f} GB; two weeks at this pace {row['two_weeks_seconds'] / 60:.1f} min "
        "(target 8)\n"
        f"  {summary.slo_attainment:.2%} attainment, {summary.gpu_hours:,.0f} GPU-hours, {summary.rescales} rescales"
    )
    return row


def _served(demand: Demand, model: ServerModel, servers: int, router: Router) -> int:
    """Every request of the demand served; how many there were. Pieces are taken as they are finished."""
    engine = Engine([model], demand, router=router)
    for pod in range(servers):
        engine.open(engine.add_server(pod))
    count = 0
    step = max(demand.duration_seconds, 600.0) if isinstance(demand, Trace) else 600.0
    until = 0.0
    while not engine.finished:
        until += step
        engine.advance(until)
        count += sum(len(piece) for piece in engine.take())
    return count


def _autoscaler() -> Any:
    metric = MetricSpec(type="Pods", name="vllm:num_requests_running", average_value_milli=40_000)
    return hpa_policy(HPASpec(min_replicas=1, max_replicas=200, metrics=(metric,)))


def _sharing(trace: Trace) -> Trace:
    """Eight system prompts of 512 tokens, one after the other."""
    count = len(trace)
    return replace(
        trace,
        prompt_tokens=trace.prompt_tokens + 512,
        prefixes=Prefixes(
            block_tokens=512, offsets=np.arange(count + 1, dtype=np.int64), ids=np.arange(count, dtype=np.int64) % 8
        ),
    )


def _adapted(trace: Trace) -> Trace:
    return replace(trace, lora=(np.arange(len(trace)) * 7 % 32).astype(np.int32))


def _urgent(trace: Trace) -> Trace:
    return replace(trace, priority=(np.arange(len(trace)) % 3).astype(np.int32))


class _bound:  # noqa: N801 - a context manager used like a function
    """Compiles the C program; gives a function servers -> CPU seconds of its faster mode, or None with a reason."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Callable[[int], float] | None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            _say("  (no C compiler: the C program's columns are left out)")
            return None
        folder = Path(self._folder.name)
        opened = gzip.open if self._trace.suffix == ".gz" else open
        with opened(self._trace, "rt") as source:
            if "ContextTokens" not in source.readline():
                _say("  (the C program reads Azure CSV only: its columns are left out)")
                return None
            source.seek(0)
            (folder / "trace.csv").write_text(source.read())
        subprocess.run(  # noqa: S603 - our own source, our own arguments
            [compiler, "-O3", "-march=native", "-w", "-o", folder / "bound", BOUND_SOURCE, "-lm"], check=True
        )
        return self._run

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def _run(self, servers: int) -> float:
        folder = Path(self._folder.name)
        limits = [str(value) for value in (MODEL.max_num_batched_tokens, MODEL.max_num_seqs, MODEL.kv_blocks)]
        return min(
            float(
                subprocess.run(  # noqa: S603 - as above
                    [folder / "bound", folder / "trace.csv", str(servers), "1", *limits, mode],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                .stdout.split("cpu ")[1]
                .split(" ")[0]
            )
            for mode in ("1", "2")
        )


_FIRST_REQUEST = """
import time
import numpy as np
from simulations.engine import Engine, ServerModel
from simulations.trace import Trace
one = np.ones(1, np.int32)
model = ServerModel(
    base=1.0, per_prefill_token=0.0, per_decode_seq=0.0, per_kv_token=0.0, kv_blocks=9, max_num_seqs=1,
    max_num_batched_tokens=1,
)
started = time.perf_counter()
engine = Engine([model], Trace("one", 0, np.zeros(1), one, one))
engine.open(engine.add_server(0))
engine.advance(9.0)
print(time.perf_counter() - started)
"""


def _set_up() -> dict[str, float]:
    """Seconds that a fresh process takes for its first request, imports left out: compiling, then from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = [
            float(
                subprocess.run(  # noqa: S603 - ourselves
                    [sys.executable, "-c", _FIRST_REQUEST],
                    check=True,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONDONTWRITEBYTECODE": ""},
                ).stdout
            )
            for _ in range(3)
        ]
    return {"first_seconds": seconds[0], "later_seconds": min(seconds[1:])}


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _rates(requests: int, seconds: Sequence[float]) -> dict[str, float]:
    rates = sorted(requests / each for each in seconds)
    return {"per_second": statistics.median(rates), "per_second_min": rates[0], "per_second_max": rates[-1]}


def _shown(row: dict[str, Any]) -> str:
    return f"{row['per_second'] / 1e6:5.2f} M ({row['per_second_min'] / 1e6:.2f} to {row['per_second_max'] / 1e6:.2f})"


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _say(text: str, values: dict[str, Any] | None = None) -> None:
    sys.stdout.write((text.format(**values) if values else text) + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="simulated requests per second on one core")
    parser.add_argument("trace", type=Path, nargs="?", default=SHIPPED, help="a recording (default: the shipped hour)")
    parser.add_argument("--tables", type=Path, metavar="PREFIX", help="ServeGen tables to stream at full rate")
    parser.add_argument("--days", type=float, default=0.25, help="of the tables (default 0.25; all of them: 14)")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10**5, 10**6, 10**7], help="of the Poisson runs (default 1e5 1e6 1e7)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, smaller sizes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
