"""What the count-level fleet shows: the series that policies ask for, through scrapes, as real `Snapshot`s.

Names, units and meaning are those of simulations/exporter.py and simulations/derived.py. Requests are shown at the pods
that they were sent to (shown_pods.py); all else of a pod is the mean over its like. Two series are models: GPU
utilization is the chance of a batch that is not empty, 1 - exp(-n), and P90 latencies are those of the serving curve at
the present step time, plus the wait in the queue.

A real batch also fluctuates with single requests, which rules that take a maximum over a window react to. `Noise` adds
what the fluid lacks of it, from a seed; what was answered moves against it, so that arrivals add up.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    MetricQuery,
    Observation,
    PodMetrics,
    PodSample,
    Snapshot,
)
from simulations.counts.demand_counts import BIN_SECONDS
from simulations.counts.fleet import CountFleet, CountPod
from simulations.counts.queue import Flow, Mix
from simulations.counts.serving_curve import ServingCurve
from simulations.counts.shown_pods import F8, ShownPods
from simulations.derived import KV_CACHE_UTIL_THRESHOLD, QUEUE_DEPTH_THRESHOLD
from simulations.exporter import GPU_UTILIZATION
from simulations.lead_time import generator
from simulations.pipeline import is_simulated, series_name, target_of

_MAX_AGE_NS = 60 * NS_PER_SECOND
_IDLE_CORES, _BUSY_CORES = 0.1, 0.9
_ROUNDING = 1e-6
"""Of a milli-unit, that a rounding error of the fluid may be."""


class Noise:
    """Fluctuation of the requests decoding, in the linear noise approximation around the fluid.

    Requests finish one by one: with N of them decoding, and a step of which each takes c seconds, their number has the
    variance N s / (2 base) from that alone, and forgets it within T = o s^2 / base (van Kampen, "Stochastic Processes
    in Physics and Chemistry", ch. X; the rate of finishing rises by base / (o s^2) per request). Arrivals are known
    by the bin b; what they do within it adds N s / base (1/2 - tanh(a / 2) / a) with a = b / T.
    """

    def __init__(self, seed: int) -> None:
        self._stream = generator(seed, "count noise")
        self._unit = 0.0
        self._ahead: list[float] = []

    def next(self, fleet: "CountFleet", mix: Mix, seconds: float) -> float:
        """Requests per ready replica, above the fluid's batch; `seconds` after the last call."""
        if not self._ahead:
            self._ahead = self._stream.standard_normal(4_096).tolist()
        base, step, ready = fleet.profile.base_seconds, fleet.step_seconds, len(fleet.ready)
        memory = mix.output_tokens * step * step / base
        fade = math.exp(-seconds / memory)
        self._unit = fade * self._unit + math.sqrt(1.0 - fade * fade) * self._ahead.pop()
        bins = BIN_SECONDS / memory
        share = 1.0 - math.tanh(bins / 2.0) / bins
        return self._unit * math.sqrt(share * fleet.queue.batch * step / base / ready) if ready else 0.0


Gauge = Callable[["View"], float]


class View:
    """The fleet at one scrape. waiting, running: per ready pod, as vLLM counts them."""

    def __init__(
        self, fleet: CountFleet, curve: ServingCurve, mix: Mix, flow: Flow, seconds: float, noise: float
    ) -> None:
        ready = len(fleet.ready)
        queue = fleet.queue
        self.fleet, self.curve, self.mix = fleet, curve, mix
        self.ready = ready
        self.gateway = 0.0 if ready else queue.waiting
        largest = min(fleet.profile.kv_tokens / mix.context_tokens, fleet.profile.max_num_seqs)
        self.running = min(max(0.0, queue.batch + noise), largest) if ready else 0.0
        per_second = flow.admitted / seconds if seconds > 0 else 0.0
        # Half a step passes from a request's arrival to the iteration that admits it.
        self.waiting = (queue.waiting + per_second * fleet.step_seconds / 2) / ready if ready else 0.0
        self.kv = min(1.0, self.running * mix.context_tokens / fleet.profile.kv_tokens)
        self.wait_seconds = queue.waiting / per_second if per_second > 0 else 0.0
        self.first_token_seconds = per_second * float(fleet.step_seconds + mix.prefill_seconds)

    @property
    def busy(self) -> float:
        return 1.0 - math.exp(-self.running)


_OF_PODS: dict[str, Callable[[ShownPods], F8]] = {
    "vllm:num_requests_running": lambda shown: shown.running,
    "vllm:num_requests_waiting": lambda shown: shown.waiting,
    "vllm:request_success_total": lambda shown: shown.answered,
}

_GAUGES: dict[str, Gauge] = {
    "vllm:kv_cache_usage_perc": lambda view: view.kv,
    "vllm:num_preemptions_total": lambda _: 0.0,
    GPU_UTILIZATION: lambda view: float(round(100.0 * view.busy)),
    "cpu": lambda view: _IDLE_CORES + _BUSY_CORES * view.busy,
}

_COUNTERS = {
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
}

_AGGREGATES: dict[str, Gauge] = {
    "leadtime:num_requests_outstanding": lambda view: (
        view.ready * (view.running + view.waiting) + view.gateway + view.fleet.draining_requests()
    ),
    "leadtime:gateway_queue": lambda view: view.gateway,
    "inference_extension_flow_control_queue_size": lambda view: view.gateway + view.ready * view.waiting,
    "inference_objective_running_requests": lambda view: view.ready * view.running + view.fleet.draining_requests(),
    "inference_pool_average_queue_size": lambda view: view.waiting,
    "inference_pool_average_kv_cache_utilization": lambda view: view.kv,
    "inference_pool_kv_cache_utilization_sum": lambda view: view.ready * view.kv,
    "inference_pool_ready_pods": lambda view: float(view.ready),
    "inference_pool_saturation": lambda view: (
        max(view.waiting / QUEUE_DEPTH_THRESHOLD, view.kv / KV_CACHE_UTIL_THRESHOLD) if view.ready else 1.0
    ),
    "inference_pool_inflight_prefill_tokens": lambda view: (
        view.mix.prompt_tokens * (view.ready * view.waiting + view.first_token_seconds) if view.ready else 0.0
    ),
    "leadtime:ttft_p90_seconds:1m": lambda view: view.curve.ttft_p90(view.fleet.step_seconds) + view.wait_seconds,
    "leadtime:tpot_p90_seconds:1m": lambda view: view.curve.tpot_p90(view.fleet.step_seconds),
    "kube_deployment_spec_replicas": lambda view: float(view.fleet.replicas),
    "kube_deployment_status_replicas": lambda view: float(_existing(view.fleet)),
    "kube_deployment_status_replicas_ready": lambda view: float(view.ready),
    "kube_deployment_status_replicas_unavailable": lambda view: float(_existing(view.fleet) - view.ready),
}

_MISSED: dict[str, Callable[["View", float], float]] = {
    "leadtime:ttft_missed_percent:1m": lambda view, le: 100.0 * (view.wait_seconds > le),
    "leadtime:tpot_missed_percent:1m": lambda view, _: 100.0 * (1.0 - view.curve.within(view.fleet.step_seconds)),
}
"""By a target in seconds; the serving curve is of the run's own SLO, and knows its TTFT and TPOT together."""

_NEEDS_PODS = frozenset({"inference_pool_average_queue_size", "inference_pool_average_kv_cache_utilization"})
_NEEDS_ANSWERS = frozenset({"leadtime:ttft_p90_seconds:1m", "leadtime:tpot_p90_seconds:1m"})


class CountMetrics:
    """Scrapes a fleet for the queries of one policy, and answers them from the last scrape."""

    def __init__(self, fleet: CountFleet, curve: ServingCurve, queries: Iterable[MetricQuery], *, seed: int) -> None:
        self._fleet = fleet
        self._curve = curve
        self._queries = tuple(queries)
        self._names = {query: series_name(query.name) for query in self._queries}
        self._scraped_ns = -_MAX_AGE_NS - 1
        self._noise = Noise(seed)
        self._shown, self._admitted = ShownPods(), 0.0
        self._observations: Mapping[MetricQuery, Observation] = self._errors()

    def scrape(self, mix: Mix, flow: Flow, seconds: float) -> None:
        """Read every series now. flow: of the last `seconds`."""
        fleet = self._fleet
        since = max(1e-3, (fleet.now_ns - self._scraped_ns) / NS_PER_SECOND)
        self._scraped_ns = fleet.now_ns // NS_PER_SECOND * NS_PER_SECOND
        view = View(fleet, self._curve, mix, flow, seconds, self._noise.next(fleet, mix, since))
        pods = list(fleet.ready.values())
        self._shown = self._shown.after(
            tuple(fleet.ready),
            admitted=fleet.admitted - self._admitted,
            waiting=view.ready * view.waiting,
            running=view.ready * view.running,
        )
        self._admitted = fleet.admitted
        answers: dict[tuple[str, str], Observation | None] = {}
        for query in self._queries:
            key = (self._names[query], query.type)
            if key not in answers:
                answers[key] = self._read(key[0], query, view, pods)
        self._observations = MappingProxyType(
            {query: answers[self._names[query], query.type] or _missing(query) for query in self._queries}
        )

    def snapshot(self) -> Snapshot:
        """What a cluster would show a policy now; a value older than 60 s is missing."""
        fleet = self._fleet
        fresh = fleet.now_ns - self._scraped_ns <= _MAX_AGE_NS
        return Snapshot(
            replicas=fleet.replicas,
            status_replicas=_existing(fleet),
            pods=fleet.pod_list(),
            observations=self._observations if fresh else self._errors(),
        )

    def _read(self, name: str, query: MetricQuery, view: View, pods: list[CountPod]) -> Observation | None:
        if name in _MISSED:
            return ExternalMetric((_milli(_MISSED[name](view, target_of(query))),)) if pods else None
        if name in _AGGREGATES:
            if query.type != "External" or (name in _NEEDS_PODS | _NEEDS_ANSWERS and not pods):
                return None
            return ExternalMetric((_milli(_AGGREGATES[name](view)),))
        if not pods or not is_simulated(query):
            return None
        if name in _OF_PODS:
            return self._of_pods(query, pods, _OF_PODS[name](self._shown))
        if name in _GAUGES:
            return self._of_pods(query, pods, np.full(len(pods), _GAUGES[name](view)))
        field = _COUNTERS[name]
        begun = np.array([getattr(pod.begun, field) for pod in pods])
        return self._of_pods(query, pods, getattr(self._fleet.totals, field) - begun)

    def _of_pods(self, query: MetricQuery, pods: list[CountPod], values: F8) -> Observation:
        """One value for each pod; shape (pods,). Pods of one value share a sample: most do."""
        milli = np.ceil(values * 1000 - _ROUNDING).astype(np.int64).tolist()
        if query.type == "External":
            return ExternalMetric(tuple(milli))
        samples = {value: PodSample(value_milli=value, at_ns=self._scraped_ns) for value in set(milli)}
        return PodMetrics({pod.shown.name: samples[value] for pod, value in zip(pods, milli, strict=True)})

    def _errors(self) -> Mapping[MetricQuery, Observation]:
        return {query: _missing(query) for query in self._queries}


def _missing(query: MetricQuery) -> MetricError:
    return MetricError(f"no metrics returned for {query.name}")


def _existing(fleet: CountFleet) -> int:
    """status.replicas: pods that are not terminating, which is what was asked for."""
    return fleet.replicas


def _milli(value: float) -> int:
    """As the wire carries it: rounded up like a Quantity."""
    return math.ceil(value * 1000 - _ROUNDING)
