"""What Prometheus still knows of workloads' demand, for a controller that starts without a file of its own.

Arrivals are what was answered plus what more is running or waiting, over the same window, summed over a workload's
pods: a queue that builds up is demand too. Source of the rule: policies/serving_counters.py, which reads the servers
themselves, vLLM's, SGLang's or TGI's.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapter.sources.catalogue import sglang, tgi, vllm
from adapter.sources.in_threads import DaemonThreads
from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.source import SourceUnavailable
from autoscaler.lead_times.prometheus_range import RangeQueries
from policies.predictive.backfill import Samples
from policies.predictive.load_history import F8
from policies.snapshot import NS_PER_SECOND

STEP_SECONDS = 60
WINDOW_SECONDS = 120
"""Of a rate: two samples at Prometheus' default scrape interval of a minute."""

_KIND_LABEL = "leadtime_series"
_COUNTERS = {
    "answered": (vllm.REQUEST_SUCCESS.name, sglang.REQUESTS.name, tgi.SUCCESS.name),
    "prompt": (vllm.PROMPT_TOKENS.name, sglang.PROMPT_TOKENS.name, f"{tgi.INPUT_LENGTH.name}_sum"),
    "output": (vllm.GENERATION_TOKENS.name, sglang.GENERATION_TOKENS.name, f"{tgi.GENERATED_TOKENS.name}_sum"),
}
_GAUGES = (
    ("sum({})", vllm.RUNNING.name, vllm.WAITING.name),
    ("sum(max by (namespace, pod, dp_rank) ({}))", sglang.RUNNING.name, sglang.QUEUE.name),
    ("sum({})", tgi.BATCH.name, tgi.QUEUE.name),
)
"""Of each server in the same order; before the gauges, how requests are counted once, as in
autoscaler/observe/demand_rules.py. At an instant at which several servers show a series, the first one's is taken."""
_FEWEST_ANSWERED = 1e-3
"""Requests/s from which tokens per request are told: one in a quarter of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodsOf:
    """A workload's pods, past ones too. names: a regular expression (RE2, whole name)."""

    namespace: str
    names: str


class DemandHistory:
    """Asks one workload after the other, in a thread."""

    def __init__(self, settings: PrometheusSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._queries = RangeQueries(settings, monotonic=monotonic)
        self._thread = DaemonThreads(1, name="demand-history")

    async def read(self, pods: PodsOf, *, since_ns: int, until_ns: int, timeout_seconds: float = 30.0) -> Samples:
        """Raises SourceUnavailable."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._read, pods, since_ns, until_ns, timeout_seconds)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._queries.close()

    def _read(self, pods: PodsOf, since_ns: int, until_ns: int, timeout_seconds: float) -> Samples:
        first, last = since_ns // NS_PER_SECOND // STEP_SECONDS, until_ns // NS_PER_SECOND // STEP_SECONDS
        matrix = self._queries.matrix(
            promql(pods, self._settings.extra_labels),
            since_seconds=first * STEP_SECONDS,
            until_seconds=last * STEP_SECONDS,
            step_seconds=STEP_SECONDS,
            deadline=self._monotonic() + timeout_seconds,
        )
        try:
            return samples_of_matrix(matrix, first, last)
        except (ValueError, TypeError, KeyError) as error:
            raise SourceUnavailable("malformed", f"{self._settings.url}: {error}"[:300]) from error


def pods_of(namespace: str, kind: str, name: str) -> PodsOf:
    """By the names that workload controllers give; of a kind that is not known, all that begin with the workload's."""
    suffix = {
        "Deployment": "-[a-z0-9]+-[a-z0-9]{5}",
        "Rollout": "-[a-z0-9]+-[a-z0-9]{5}",
        "ReplicaSet": "-[a-z0-9]{5}",
        "StatefulSet": "-[0-9]+",
        "LeaderWorkerSet": "-[0-9]+(-[0-9]+)?",
    }.get(kind, "-.+")
    return PodsOf(namespace=namespace, names=name.replace(".", "[.]") + suffix)


def promql(pods: PodsOf, matchers: Mapping[str, str]) -> str:
    """One query for all of a workload's series, told apart by a label."""
    own = {**matchers, "namespace": pods.namespace}
    labels = ",".join(
        [*(f"{name}={json.dumps(value)}" for name, value in own.items()), f"pod=~{json.dumps(pods.names)}"]
    )
    parts = {
        kind: " or ".join(f"sum(rate({metric}{{{labels}}}[{WINDOW_SECONDS}s]))" for metric in metrics)
        for kind, metrics in _COUNTERS.items()
    }
    parts["in_flight"] = " or ".join(
        " + ".join(once.format(f"{metric}{{{labels}}}") for metric in metrics) for once, *metrics in _GAUGES
    )
    return " or ".join(f'label_replace({part}, "{_KIND_LABEL}", "{kind}", "", "")' for kind, part in parts.items())


def samples_of_matrix(matrix: Sequence[Mapping[str, Any]], first: int, last: int) -> Samples:
    """matrix: the answer to `promql`, in any number of parts. first, last: minutes since the epoch.

    A rate over the window before t is, at steps of half of it, the demand of the step in the window's middle, and its
    sample is at that step's end. Minutes in which nothing was scraped are left out. Raises ValueError, TypeError and
    KeyError for what is no matrix.
    """
    series = {kind: np.full(last - first + 1, np.nan) for kind in (*_COUNTERS, "in_flight")}
    for row in matrix:
        values = series.get(row["metric"].get(_KIND_LABEL, ""))
        if values is None:
            continue
        for at, value in row["values"]:
            minute = round(float(at) / STEP_SECONDS) - first
            if 0 <= minute < len(values):
                values[minute] = float(value)
    answered = series["answered"]
    arrived = np.maximum(answered + _growth(series["in_flight"]), 0.0)
    enough = answered >= _FEWEST_ANSWERED
    tokens = {
        kind: np.divide(series[kind], answered, out=np.full(len(answered), np.nan), where=enough)
        for kind in ("prompt", "output")
    }
    kept = np.isfinite(arrived)
    minutes = np.arange(first, last + 1, dtype=np.int64)
    end_ns = (minutes * STEP_SECONDS - (WINDOW_SECONDS - STEP_SECONDS) // 2) * NS_PER_SECOND
    return Samples(
        at_ns=end_ns[kept],
        requests_per_second=arrived[kept],
        prompt_tokens=tokens["prompt"][kept],
        output_tokens=tokens["output"][kept],
    )


def _growth(in_flight: F8) -> F8:
    """Requests/s by which it grew over the window; 0 where that is not known."""
    steps = WINDOW_SECONDS // STEP_SECONDS
    grown = np.zeros(len(in_flight))
    grown[steps:] = np.nan_to_num((in_flight[steps:] - in_flight[:-steps]) / WINDOW_SECONDS)
    return grown


def merged(own: Samples, other: Samples) -> Samples:
    """One's own samples, and of the other's those that are not within a minute of one of them."""
    if len(own.at_ns) == 0 or len(other.at_ns) == 0:
        return own if len(other.at_ns) == 0 else other
    place = np.searchsorted(own.at_ns, other.at_ns)
    before = own.at_ns[np.maximum(place - 1, 0)]
    after = own.at_ns[np.minimum(place, len(own.at_ns) - 1)]
    distance = np.minimum(np.abs(other.at_ns - before), np.abs(other.at_ns - after))
    fills = distance >= STEP_SECONDS * NS_PER_SECOND
    at_ns = np.concatenate([own.at_ns, other.at_ns[fills]])
    order = np.argsort(at_ns, kind="stable")
    return Samples(
        at_ns=at_ns[order],
        requests_per_second=np.concatenate([own.requests_per_second, other.requests_per_second[fills]])[order],
        prompt_tokens=np.concatenate([own.prompt_tokens, other.prompt_tokens[fills]])[order],
        output_tokens=np.concatenate([own.output_tokens, other.output_tokens[fills]])[order],
    )
