"""Load from the simulator: the pods that run in the cluster are the replicas of a simulated fleet.

Which pods there are, and when each is Ready, is the cluster's own doing: the HPA's, the scheduler's, kwok's. What they
show follows from the demand and from how many there are, by the same engine as in a simulation: more replicas, a
shorter queue. Virtual time runs faster than the clock by a factor, so counters grow faster by it, too.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from exporter_pages import OWN_LABELS, Sample, page_text
from pod_view import PodView

from policies.capacity.profile import profile_named
from simulations.exporter import GPU_UTILIZATION, GpuSampler, vllm_page, vllm_series
from simulations.fleet import Fleet
from simulations.fleet.pod import SimulatedPod
from simulations.lead_time import LeadTime
from simulations.scenario import Scenario
from simulations.trace import Trace

_DAY_SECONDS = 86_400.0
_GPU_SAMPLE_SECONDS = 1.0  # virtual; DCGM's own default is 30 s
_LONGEST_STEP_SECONDS = 2.0  # of the clock: if this process was held up longer, time is lost, not caught up with


class LiveDemand:
    """A demand whose rate may be changed while it runs: Poisson arrivals, made a second ahead.

    Beside them one request of one token comes each second, as a health check does: the engine wants to know of a next
    request always.
    """

    name = "live"
    start_ns = 0
    duration_seconds = _DAY_SECONDS
    expected_requests = _DAY_SECONDS

    def __init__(self, seed: int) -> None:
        self.rate, self.prompt_tokens, self.output_tokens = 0.0, 1, 1
        self._random = np.random.default_rng(seed)

    def pieces(self) -> Iterator[Trace]:
        for second in range(int(_DAY_SECONDS)):
            count = self._random.poisson(self.rate)
            arrivals = np.sort(np.append(self._random.uniform(second, second + 1, count), second + 0.5))
            checks = arrivals == second + 0.5
            yield Trace(
                name=self.name,
                start_ns=self.start_ns,
                arrival_seconds=arrivals,
                prompt_tokens=np.where(checks, 1, self.prompt_tokens).astype(np.int32),
                output_tokens=np.where(checks, 1, self.output_tokens).astype(np.int32),
                ends_seconds=self.duration_seconds,
            )


class FleetLoad:
    """Follows the pods of one workload."""

    def __init__(self, *, profile: str = "llama-3.1-8b-fp8-l4", time_factor: float = 1.0, seed: int = 1) -> None:
        """profile: of policies/capacity. time_factor: virtual seconds to one of the clock, above 0."""
        self._time_factor = time_factor
        self._demand = LiveDemand(seed)
        at_once = LeadTime(start_median_seconds=0.0, load_median_seconds=0.0, warm_start_median_seconds=0.0, sigma=0.0)
        scenario = Scenario(
            trace=self._demand, profile=profile_named(profile), lead_time=at_once, initial_replicas=0, seed=seed
        )
        self.fleet = Fleet(scenario)
        self._gpus = GpuSampler()
        self._sampled_seconds = 0.0
        self._pods: dict[str, SimulatedPod] = {}  # by the cluster's names
        self._queued_us: dict[str, float] = {}
        self._ended: dict[int, tuple[int, int]] = {}  # pod's number -> prompt and output tokens of answers that ended
        self._last_seconds: float | None = None

    def tell(self, *, rate: float, prompt_tokens: int, output_tokens: int) -> None:
        """The demand from the next virtual second on: requests per virtual second, and tokens of each."""
        self._demand.rate = rate
        self._demand.prompt_tokens, self._demand.output_tokens = prompt_tokens, output_tokens

    def follow(self, pods: Sequence[PodView], now_seconds: float) -> None:
        """Let the time pass and the fleet be what the cluster's pods are. pods: of this workload."""
        elapsed = 0.0 if self._last_seconds is None else min(now_seconds - self._last_seconds, _LONGEST_STEP_SECONDS)
        self._last_seconds = now_seconds
        there = {pod.name: pod for pod in pods if pod.stage in ("Loading", "Ready")}
        for name in [name for name in self._pods if name not in there]:
            self._delete(name)
        for name, pod in there.items():
            if name not in self._pods:
                self._start(name)
            if pod.ready and self._pods[name].load_seconds == math.inf:
                self._pods[name].load_seconds = self.fleet.now_seconds - self._pods[name].starts
        self._advance(elapsed * self._time_factor)

    def page(self, system: str, pod: PodView) -> str | None:
        """The pod's own page; None while its server does not answer."""
        simulated = self._pods.get(pod.name)
        if simulated is None or not self.fleet.is_ready(simulated):
            return None
        match system:
            case "vllm":
                return vllm_page(self.fleet, simulated)
            case "nim":  # 1.x: vLLM's names, bare
                return vllm_page(self.fleet, simulated).replace("vllm:", "")
            case "sglang":
                return page_text(self._sglang(simulated))
            case "triton":
                return page_text(self._triton(pod.name, simulated))
            case "torchserve":
                return page_text(self._torchserve(pod.name, simulated))
        return None

    def gpu_series(self, pod: PodView) -> Mapping[str, float]:
        """What DCGM says of its GPU; while the model is loaded, 0."""
        return {GPU_UTILIZATION: float(self._gpu_percent(pod.name))} if pod.name in self._pods else {}

    def state(self) -> dict[str, Any]:
        """For reports of a test that failed."""
        shown = {name: vllm_series(self.fleet, pod) for name, pod in self._pods.items() if pod.row is not None}
        return {"virtualSeconds": self.fleet.now_seconds, "gatewayQueue": self.fleet.gateway_queue, "pods": shown}

    def _start(self, name: str) -> None:
        """Its containers run: the fleet has a pod more, which is Ready when the cluster's is."""
        self.fleet.scale(self.fleet.replicas + 1)
        self._pods[name] = self.fleet.pods[-1]
        self._pods[name].load_seconds = math.inf
        self._queued_us[name] = 0.0

    def _delete(self, name: str) -> None:
        """It is gone from the cluster: it gets no more requests, and answers those that it has."""
        pod = self._pods.pop(name)
        del self._queued_us[name]
        pod.deleted = self.fleet.now_seconds
        if pod.row is not None:
            self.fleet.engine.close(pod.row)
        self.fleet.replicas -= 1

    def _advance(self, seconds: float) -> None:
        fleet = self.fleet
        fleet.advance(fleet.now_seconds + seconds)
        for piece in fleet.take():
            for number, prompt, output in zip(
                piece["replica"], piece["prompt_tokens"], piece["generated"], strict=True
            ):
                before = self._ended.get(number, (0, 0))
                self._ended[number] = before[0] + int(prompt), before[1] + int(output)
        for name, pod in self._pods.items():
            if pod.row is not None:  # time in the queue of all requests: the queue's length, summed over time
                self._queued_us[name] += float(fleet.engine.servers[pod.row]["waiting"]) * seconds * 1e6
        if fleet.now_seconds - self._sampled_seconds >= _GPU_SAMPLE_SECONDS:
            self._gpus.sample(fleet)
            self._sampled_seconds = fleet.now_seconds

    def _gpu_percent(self, name: str) -> int:
        return self._gpus.percent().get(self._pods[name].name, 0)

    def _sglang(self, pod: SimulatedPod) -> list[Sample]:
        """vLLM's engine; tokens are counted when an answer ends."""
        server, (prompt, output) = self.fleet.engine.servers[pod.row], self._ended.get(pod.number, (0, 0))
        labels = OWN_LABELS["sglang"]
        ranks = {**labels, "moe_ep_rank": "0", "pp_rank": "0", "tp_rank": "0"}
        return [
            ("sglang:num_running_reqs", ranks, float(server["running"])),
            ("sglang:num_queue_reqs", ranks, float(server["waiting"])),
            ("sglang:num_requests_total", labels, float(server["succeeded"])),
            ("sglang:prompt_tokens_total", labels, float(prompt)),
            ("sglang:generation_tokens_total", labels, float(output)),
        ]

    def _triton(self, name: str, pod: SimulatedPod) -> list[Sample]:
        server, labels = self.fleet.engine.servers[pod.row], OWN_LABELS["triton"]
        series = {
            "nv_inference_request_success": server["succeeded"],
            "nv_inference_count": server["succeeded"],
            "nv_inference_exec_count": server["iterations"],
            "nv_inference_request_duration_us": server["e2e_sum"] * 1e6,
            "nv_inference_queue_duration_us": self._queued_us[name],
            "nv_inference_compute_infer_duration_us": server["busy_seconds"] * 1e6,
            "nv_inference_pending_request_count": server["waiting"],
            "nv_gpu_utilization": self._gpu_percent(name) / 100.0,
        }
        return [(series_name, labels, float(value)) for series_name, value in series.items()]

    def _torchserve(self, name: str, pod: SimulatedPod) -> list[Sample]:
        server, labels = self.fleet.engine.servers[pod.row], OWN_LABELS["torchserve"]
        series = {
            "ts_inference_requests_total": server["succeeded"],
            "ts_inference_latency_microseconds": server["e2e_sum"] * 1e6,
            "ts_queue_latency_microseconds": self._queued_us[name],
            "GPUUtilization": self._gpu_percent(name),
        }
        return [(series_name, labels, float(value)) for series_name, value in series.items()]
