"""The fleet: a Deployment's worth of simulated vLLM pods under one demand.

Everything that a real Deployment shows from outside is here: spec and status replicas, pods with phases and
conditions. How the servers inside work is in engine/, where the pods' nodes come from in cluster.py.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from policies.snapshot import NS_PER_SECOND, Container, Pod
from simulations.cluster import Cluster
from simulations.cluster.node_pool import elastic_pool
from simulations.engine import Engine, ServerModel
from simulations.fleet.pod import SimulatedPod
from simulations.lead_time import Draws, generator
from simulations.scenario import Scenario

_CONTAINERS = (Container(name="vllm", requests_milli={"cpu": 1000}),)
"""What every simulated pod runs: its CPU request makes the Resource metric `cpu` a utilization."""

_DRAIN_STEP_SECONDS = 1.0
"""How soon the cluster notices that a terminating pod is done."""

_COUNTERS = ("generation_tokens", "prompt_tokens", "iterations", "preemptions", "lora_loads")


class Fleet:
    """The caller moves time with `advance` and capacity with `scale`; both take effect at `now_seconds`.

    cluster: where the pods run, shared by all fleets that are given it; by default one of its own.
    pods: every pod that ever was, in order of creation; those of a prefill pool are in `prefill_pods`.
    """

    def __init__(self, scenario: Scenario, cluster: Cluster | None = None) -> None:
        self.scenario = scenario
        self.trace = scenario.trace
        self.profile = scenario.profile
        self.now_seconds = 0.0
        self.replicas = 0
        self.pods: list[SimulatedPod] = []
        self.prefill_pods: list[SimulatedPod] = []
        pool = scenario.nodes or elastic_pool(self.profile.gpus_per_replica)
        self.cluster = Cluster([pool], seed=scenario.seed) if cluster is None else cluster
        self.shares_cluster = cluster is not None
        self._pool = pool.name
        self.cluster.check_pod(
            gpus=self.profile.gpus_per_replica, pool=pool.name, lead_time=scenario.lead_time, gpu=self.profile.gpu
        )
        self.engine = Engine(
            [_server_model(scenario)],
            scenario.trace,
            router=scenario.router,
            gateway_timeout_seconds=scenario.timeouts.gateway_seconds,
            client_timeout_seconds=scenario.timeouts.client_seconds,
        )
        self._draws = Draws(scenario.lead_time, scenario.seed)
        self._live: list[SimulatedPod] = []
        self._gone = dict.fromkeys(_COUNTERS, 0)
        split = scenario.disaggregation
        self._role = "both" if split is None else "decode"
        for _ in range(split.prefill_replicas if split else 0):
            self._add_running_pod(self.prefill_pods, f"{scenario.name}-prefill-{len(self.prefill_pods):04d}", "prefill")
        for _ in range(scenario.initial_replicas):
            self._add_running_pod(self.pods, self._new_name(), self._role)
        self.replicas = scenario.initial_replicas

    @property
    def now_ns(self) -> int:
        return self.trace.start_ns + round(self.now_seconds * NS_PER_SECOND)

    @property
    def finished(self) -> bool:
        """The demand is over and every request was answered, refused or given up."""
        return self.engine.finished

    @property
    def gateway_queue(self) -> int:
        """Requests that arrived while no pod was ready and wait for one."""
        return self.engine.gateway_queue

    def existing(self) -> list[SimulatedPod]:
        """Pods that are there now, oldest first, terminating ones included."""
        return [pod for pod in self._live if pod.ended is None]

    def serving(self) -> list[SimulatedPod]:
        """Pods whose server runs and answers /metrics: from ready until the end, terminating included."""
        return [pod for pod in self._live if pod.row is not None and pod.ended is None]

    def outstanding(self, pod: SimulatedPod) -> int:
        """Requests sent to a pod and not answered."""
        return 0 if pod.row is None else int(self.engine.servers["outstanding"][pod.row])

    def is_ready(self, pod: SimulatedPod) -> bool:
        """Serving new requests."""
        return pod.deleted is None and pod.row is not None

    def serves_metrics(self, pod: SimulatedPod) -> bool:
        """Whether it is one of `serving`."""
        return pod.row is not None and pod.ended is None

    def servers(self, pods: Sequence[SimulatedPod]) -> Any:
        """The engine's SERVER records of pods whose servers run, in that order."""
        return self.engine.servers[np.array([pod.row for pod in pods], np.intp)]

    def advance(self, until_seconds: float) -> None:
        """Serve until then; pods start, become ready, crash and end on the way."""
        advance_together([self], until_seconds)

    def next_event_seconds(self) -> float:
        """When something may happen to a pod by itself: it is ready, it crashes, or it may have drained."""
        soonest = math.inf
        for pod in (*self._live, *self.prefill_pods):
            if pod.row is None:
                if pod.deleted is None:
                    soonest = min(soonest, pod.ready_at)
            else:
                soonest = min(soonest, pod.fails_at)
                if pod.deleted is not None:
                    soonest = min(soonest, self.now_seconds + _DRAIN_STEP_SECONDS)
        return soonest

    def step(self, now_seconds: float) -> None:
        """Serve until then, when the next events are due, and let them happen."""
        self.engine.advance(now_seconds)
        self.now_seconds = now_seconds
        opened = False
        for pod in (*self._live, *self.prefill_pods):
            if pod.starts == math.inf:
                placement = self.cluster.pods[pod.name].placement
                if placement is not None:
                    pod.starts = placement.starts_at
            if pod.row is not None and pod.fails_at <= now_seconds and not self._has_drained(pod):
                self._crash(pod)
            if pod.row is None and pod.deleted is None and pod.ready_at <= now_seconds:
                self._open(pod, "prefill" if pod in self.prefill_pods else self._role)
                opened = True
            if self._has_drained(pod):
                self._end(pod)
        if opened:
            self.engine.advance(now_seconds)  # what waits at the gateway is sent now
        if any(pod.ended is not None for pod in self._live):
            self._live = [pod for pod in self._live if pod.ended is None]

    def scale(self, replicas: int) -> None:
        """Set spec.replicas, as the scale subresource does; the pods follow."""
        if replicas > self.replicas:
            for _ in range(replicas - self.replicas):
                self._create_pod()
        elif replicas < self.replicas:
            self._scale_down(self.replicas - replicas)
        self.replicas = replicas

    def pod_list(self) -> tuple[Pod, ...]:
        """The pods as the API server shows them now."""
        return tuple(self._as_api_pod(pod) for pod in self.existing())

    def gpu_seconds(self, pod: SimulatedPod, horizon_seconds: float) -> float:
        """A pod's GPU time from the ask to its end, within [0, horizon]: starting pods cost as well."""
        end = horizon_seconds if pod.ended is None else min(pod.ended, horizon_seconds)
        return self.profile.gpus_per_replica * max(0.0, end - pod.created)

    def counted(self, counter: str) -> int:
        """A counter of all servers that ever were: one of generation_tokens, prompt_tokens, iterations, ..."""
        running = [pod.row for pod in (*self._live, *self.prefill_pods) if pod.row is not None]
        return self._gone[counter] + int(self.engine.servers[counter][running].sum())

    def take(self) -> Iterator[Any]:
        """Requests that are over, in order of arrival, in pieces; each once."""
        return self.engine.take()

    def _create_pod(self) -> None:
        number = len(self.pods) + len(self.prefill_pods)
        lead_time = self._draws.pod(number)
        pod = SimulatedPod(
            number=number,
            name=self._new_name(),
            created=self.now_seconds,
            unready_since=self.now_seconds,
            load_seconds=lead_time.load_seconds,
        )
        self.pods.append(pod)
        self._live.append(pod)
        placement = self.cluster.place(
            pod.name,
            gpus=self.profile.gpus_per_replica,
            pool=self._pool,
            start=lead_time,
            now_seconds=self.now_seconds,
        )
        if placement is not None:
            pod.starts = placement.starts_at

    def _add_running_pod(self, pods: list[SimulatedPod], name: str, role: str) -> None:
        """A pod that serves when the simulation begins. It uses up its draw, so that the n-th pod's stays its own."""
        number = len(self.pods) + len(self.prefill_pods)
        self.cluster.place_running(name, gpus=self.profile.gpus_per_replica, pool=self._pool)
        pod = SimulatedPod(number=number, name=name, created=0.0, starts=0.0, load_seconds=0.0)
        pods.append(pod)
        if role != "prefill":
            self._live.append(pod)
        self._open(pod, role)

    def _new_name(self) -> str:
        return f"{self.scenario.name}-{len(self.pods):04d}"

    def _open(self, pod: SimulatedPod, role: str) -> None:
        """Its server is up: the router may use it."""
        pod.row = self.engine.add_server(pod.number, role=role)
        self.engine.open(pod.row)
        if pod.first_ready_at is None:
            pod.first_ready_at = pod.ready_at
        failures = self.scenario.failures
        if failures.mtbf_seconds < math.inf:
            stream = generator(self.scenario.seed, "failure", str(pod.number), str(pod.restarts))
            pod.fails_at = self.now_seconds + float(stream.exponential(failures.mtbf_seconds))

    def _crash(self, pod: SimulatedPod) -> None:
        """Its server dies; its container is started again at once, on the same node, and loads the model anew."""
        assert pod.row is not None
        self.engine.fail(pod.row, self.now_seconds, retries=self.scenario.failures.retry)
        self._leave_row(pod)
        pod.restarts += 1
        pod.fails_at = math.inf
        pod.unready_since = self.now_seconds
        pod.starts = self.now_seconds
        pod.load_seconds = self._draws.pod(pod.number).load_seconds

    def _leave_row(self, pod: SimulatedPod) -> None:
        assert pod.row is not None
        for counter in _COUNTERS:
            self._gone[counter] += int(self.engine.servers[counter][pod.row])
        self.engine.remove(pod.row)
        pod.row = None

    def _has_drained(self, pod: SimulatedPod) -> bool:
        """Deleted, with nothing left to answer."""
        return pod.deleted is not None and pod.ended is None and not self.outstanding(pod)

    def _end(self, pod: SimulatedPod) -> None:
        """A deleted pod has answered all it had."""
        assert pod.deleted is not None
        pod.ended = pod.deleted
        if pod.row is not None:
            pod.ended = max(pod.deleted, float(self.engine.servers["last_finish"][pod.row]))
            self._leave_row(pod)
        elif pod.restarts:
            pod.ended = max(pod.deleted, pod.unready_since)
        self.cluster.release(pod.name, self.now_seconds)

    def _scale_down(self, count: int) -> None:
        """Delete pods in a ReplicaSet's order: not started, then not ready, then the youngest ready ones.

        Source: pkg/controller/controller_utils.go, ActivePodsWithRanks.
        """
        candidates = [pod for pod in self.existing() if pod.deleted is None]
        candidates.sort(
            key=lambda pod: (pod.starts > self.now_seconds, pod.row is None, pod.ready_at, pod.number), reverse=True
        )
        for pod in candidates[:count]:
            pod.deleted = self.now_seconds
            if pod.row is not None:
                self.engine.close(pod.row)
            if not self.outstanding(pod):
                self._end(pod)
        self._live = [pod for pod in self._live if pod.ended is None]

    def _as_api_pod(self, pod: SimulatedPod) -> Pod:
        ready = pod.row is not None
        started = pod.starts <= self.now_seconds
        return Pod(
            name=pod.name,
            phase="Running" if started else "Pending",
            ready="True" if ready else "False",
            created_ns=self._ns(pod.created),
            start_ns=self._ns(pod.starts) if started else None,
            ready_transition_ns=self._ns(pod.ready_at if ready else pod.unready_since),
            deleting=pod.deleted is not None,
            containers=_CONTAINERS,
        )

    def _ns(self, seconds: float) -> int:
        return self.trace.start_ns + round(seconds * NS_PER_SECOND)


def advance_together(fleets: Sequence[Fleet], until_seconds: float) -> None:
    """Move the time of fleets that share a cluster, from event to event, so that all see the same nodes."""
    clusters = {id(fleet.cluster): fleet.cluster for fleet in fleets}.values()
    now = max(fleet.now_seconds for fleet in fleets)
    while True:
        events = [part.next_event_seconds() for part in fleets] + [part.next_event_seconds() for part in clusters]
        now = max(now, min(until_seconds, *events))
        for cluster in clusters:
            cluster.advance(now)
        for fleet in fleets:
            fleet.step(now)
        if now >= until_seconds and min(part.next_event_seconds() for part in fleets) > until_seconds:
            return


def _server_model(scenario: Scenario) -> ServerModel:
    profile, serving, split = scenario.profile, scenario.serving, scenario.disaggregation
    return ServerModel(
        base=profile.base_seconds,
        per_prefill_token=profile.per_prefill_token_seconds,
        per_decode_seq=profile.per_decode_seq_seconds,
        per_kv_token=profile.per_kv_token_seconds,
        per_prefill_context_token=profile.per_prefill_context_token_seconds,
        overhead=profile.request_overhead_seconds,
        kv_blocks=profile.kv_blocks,
        max_num_seqs=profile.max_num_seqs,
        max_num_batched_tokens=profile.max_num_batched_tokens,
        max_loras=serving.max_loras,
        lora_load_seconds=serving.lora_load_seconds,
        prefix_caching=serving.prefix_caching,
        priority_scheduling=serving.priority_scheduling,
        transfer_seconds_per_token=profile.kv_bytes_per_token / split.transfer_bytes_per_second if split else None,
    )
