"""The fleet: pods that take a lead time to become ready, a router, and the servers behind it.

Everything that a real Deployment of vLLM pods shows from outside is here: spec and status replicas, pods with
phases and conditions, metrics pages. How a server works inside is in engine.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.capacity.profile import Profile
from policies.snapshot import NS_PER_SECOND, Container, Pod
from simulations import engine
from simulations.trace import Trace

_CONTAINERS = (Container(name="vllm", requests_milli={"cpu": 1000}),)
"""What every simulated pod runs: its CPU request makes the Resource metric `cpu` a utilization."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """Span from asking for a pod to serving with it, in two stages, each lognormal.

    start_median_seconds: until its containers run (node, image). Default: FailedScheduling to Running took
        111 s when GKE added an L4 node.
    load_median_seconds: from then until Ready (model load, warm-up).
    sigma: standard deviation of the logarithm; 0 makes every pod take the median.
    """

    start_median_seconds: float = 111.0
    load_median_seconds: float = 120.0
    sigma: float = 0.2


@dataclass(slots=True, kw_only=True)
class SimulatedPod:
    """One pod from creation to end; seconds since the start of the run, None until it happens."""

    row: int
    name: str
    created: float
    starts: float
    ready_at: float
    deleted: float | None = None
    ended: float | None = None


class Fleet:
    """A Deployment's worth of simulated vLLM pods under one recorded demand.

    The caller moves time with `advance` and capacity with `scale`; both take effect at `now_seconds`.
    """

    def __init__(
        self, trace: Trace, profile: Profile, lead_time: LeadTime, *, initial_replicas: int, seed: int
    ) -> None:
        self.trace = trace
        self.profile = profile
        self.now_seconds = 0.0
        self.replicas = 0
        self.pods: list[SimulatedPod] = []
        self.requests = engine.new_requests(trace.arrival_seconds, trace.prompt_tokens, trace.output_tokens)
        self._lead_time = lead_time
        self._rng = np.random.default_rng(seed)
        self._model = engine.Model(
            profile.base_seconds,
            profile.per_prefill_token_seconds,
            profile.per_decode_seq_seconds,
            profile.per_kv_token_seconds,
            profile.kv_blocks,
            profile.max_num_seqs,
            profile.max_num_batched_tokens,
        )
        self.servers = engine.new_servers(16, self._model)
        self._cursor = 0
        self._scale_up(initial_replicas, already_ready=True)

    @property
    def now_ns(self) -> int:
        return self.trace.start_ns + round(self.now_seconds * NS_PER_SECOND)

    @property
    def finished(self) -> bool:
        """Every request was answered or refused."""
        return self._cursor == len(self.trace) and not any(self.outstanding(pod) for pod in self.existing())

    @property
    def gateway_queue(self) -> int:
        """Requests that arrived while no pod was ready and wait for one."""
        arrived = np.searchsorted(self.trace.arrival_seconds, self.now_seconds, side="right")
        return int(arrived) - self._cursor

    def existing(self) -> list[SimulatedPod]:
        """Pods that are there now, oldest first, terminating ones included."""
        return [pod for pod in self.pods if pod.ended is None]

    def outstanding(self, pod: SimulatedPod) -> int:
        """Requests sent to a pod and not answered."""
        return int(self.servers.state.running[pod.row] + self.servers.state.waiting[pod.row])

    def is_ready(self, pod: SimulatedPod) -> bool:
        """Serving new requests."""
        return pod.deleted is None and pod.ready_at <= self.now_seconds

    def serves_metrics(self, pod: SimulatedPod) -> bool:
        """Its server runs and answers /metrics: from ready until the end, terminating included."""
        return pod.ended is None and pod.ready_at <= self.now_seconds

    def advance(self, until_seconds: float) -> None:
        """Serve until then; pods become ready and drained pods end on the way."""
        while True:
            due = [pod for pod in self.existing() if self.now_seconds < pod.ready_at <= until_seconds]
            pod = min(due, key=lambda pod: (pod.ready_at, pod.row), default=None)
            self._dispatch(until_seconds if pod is None else pod.ready_at)
            if pod is None:
                break
            self._open(pod)
        for pod in self.existing():
            if pod.deleted is not None and not self.outstanding(pod):
                pod.ended = max(pod.deleted, float(self.servers.state.last_finish[pod.row]))

    def scale(self, replicas: int) -> None:
        """Set spec.replicas, as the scale subresource does; the pods follow."""
        if replicas > self.replicas:
            self._scale_up(replicas - self.replicas)
        elif replicas < self.replicas:
            self._scale_down(self.replicas - replicas)
        self.replicas = replicas

    def pod_list(self) -> tuple[Pod, ...]:
        """The pods as the API server shows them now."""
        return tuple(self._as_api_pod(pod) for pod in self.existing())

    def gpu_seconds(self, horizon_seconds: float) -> float:
        """GPU time from the ask for each pod to its end, within [0, horizon]: starting pods cost as well."""
        return self.profile.gpus_per_replica * sum(
            max(0.0, min(horizon_seconds if pod.ended is None else pod.ended, horizon_seconds) - pod.created)
            for pod in self.pods
        )

    def _dispatch(self, until_seconds: float) -> None:
        self._cursor = engine.dispatch(
            self._model, self.servers, self._rows(self.existing()), self.requests, self._cursor, until_seconds
        )
        self.now_seconds = until_seconds

    def _open(self, pod: SimulatedPod) -> None:
        """Let the router use a pod, and send it what waits at the gateway."""
        if pod.deleted is None:
            self.servers.state.routable[pod.row] = 1
            self._cursor = engine.release(
                self._model,
                self.servers,
                self._rows(self.existing()),
                self.requests,
                self._cursor,
                self.now_seconds,
            )

    def _scale_up(self, count: int, *, already_ready: bool = False) -> None:
        for _ in range(count):
            start, load = self._rng.lognormal(0.0, self._lead_time.sigma, 2).tolist()  # drawn for every pod: so
            if already_ready:  # the n-th pod of a seed takes as long under every policy
                start = load = 0.0
            starts = self.now_seconds + start * self._lead_time.start_median_seconds
            pod = SimulatedPod(
                row=len(self.pods),
                name=f"vllm-{len(self.pods):04d}",
                created=self.now_seconds,
                starts=starts,
                ready_at=starts + load * self._lead_time.load_median_seconds,
            )
            self.pods.append(pod)
            self._make_room(len(self.pods))
            if already_ready:
                self.replicas += 1
                self._open(pod)

    def _scale_down(self, count: int) -> None:
        """Delete pods in a ReplicaSet's order: not started, then not ready, then the youngest ready ones.

        Source: pkg/controller/controller_utils.go, ActivePodsWithRanks.
        """
        candidates = [pod for pod in self.existing() if pod.deleted is None]
        candidates.sort(key=lambda pod: (pod.starts > self.now_seconds, pod.ready_at, pod.row), reverse=True)
        for pod in candidates[:count]:
            pod.deleted = self.now_seconds
            self.servers.state.routable[pod.row] = 0
            if not self.outstanding(pod):
                pod.ended = self.now_seconds

    def _make_room(self, rows: int) -> None:
        if rows > len(self.servers.state):
            self.servers = engine.doubled(self.servers, self._model)

    @staticmethod
    def _rows(pods: Sequence[SimulatedPod]) -> engine.I4:
        return np.array([pod.row for pod in pods], np.int32)

    def _as_api_pod(self, pod: SimulatedPod) -> Pod:
        ready = pod.ready_at <= self.now_seconds
        started = pod.starts <= self.now_seconds
        return Pod(
            name=pod.name,
            phase="Running" if started else "Pending",
            ready="True" if ready else "False",
            created_ns=self._ns(pod.created),
            start_ns=self._ns(pod.starts) if started else None,
            ready_transition_ns=self._ns(pod.ready_at if ready else pod.created),
            deleting=pod.deleted is not None,
            containers=_CONTAINERS,
        )

    def _ns(self, seconds: float) -> int:
        return self.trace.start_ns + round(seconds * NS_PER_SECOND)
