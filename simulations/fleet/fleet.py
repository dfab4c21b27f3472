"""The fleet: a workload of simulated model servers' pods under one demand.

Everything that a real Deployment or StatefulSet shows from outside is here: spec and status replicas, pods with phases
and conditions. How the servers inside work is in engine/, where the pods' nodes come from in cluster/, what a pod goes
through before it serves in lead_time.py and start/.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from policies.snapshot import NS_PER_SECOND, Pod
from simulations.cluster import Cluster
from simulations.cluster.node_pool import elastic_pool
from simulations.cluster.placement import Eviction
from simulations.fleet.advance import advance_together
from simulations.fleet.api_pod import api_pod
from simulations.fleet.creation import Creation
from simulations.fleet.pod import SimulatedPod
from simulations.fleet.replica_set import deletion_order
from simulations.fleet.revisions import NEW, OLD, Revisions
from simulations.fleet.stateful_set import OrdinalState, next_changes
from simulations.lead_time import generator
from simulations.server_kind import engine_maker

if TYPE_CHECKING:
    from simulations.scenario import Scenario

_DRAIN_STEP_SECONDS = 1.0
"""How soon the cluster notices that a terminating pod is done."""

_COUNTERS = ("generation_tokens", "prompt_tokens", "iterations", "preemptions", "lora_loads")


class Fleet:
    """The caller moves time with `advance` and capacity with `scale`; both take effect at `now_seconds`.

    cluster: where the pods run, shared by all fleets that are given it; by default one of its own.
    pods: every pod that ever was, in order of creation; those of a prefill pool are in `prefill_pods`.
    """

    def __init__(self, scenario: "Scenario", cluster: Cluster | None = None) -> None:
        self.scenario = scenario
        self.trace = scenario.trace
        self.profile = scenario.profile
        self.now_seconds = 0.0
        self.replicas = 0
        self.pods: list[SimulatedPod] = []
        self.prefill_pods: list[SimulatedPod] = []
        pools = (scenario.nodes or elastic_pool(self.profile.gpus_per_replica), *scenario.fallback_pools)
        self.cluster = (
            scenario.cluster.cluster(pools, seed=scenario.seed, budgets=scenario.budgets)
            if cluster is None
            else cluster
        )
        self.shares_cluster = cluster is not None
        self.revisions = Revisions(scenario)
        self._creation = Creation(scenario, self.cluster, self.revisions, pools)
        self.engine = engine_maker(scenario.server)(
            self.revisions.models,
            scenario.trace,
            router=scenario.router,
            gateway_timeout_seconds=scenario.timeouts.gateway_seconds,
            client_timeout_seconds=scenario.timeouts.client_seconds,
            split_seed=self.revisions.split_seed,
        )
        self._is_stateful = scenario.workload.kind == "StatefulSet"
        self._has_work = False  # for the workload's controller
        self._live: list[SimulatedPod] = []
        self._gone = dict.fromkeys(_COUNTERS, 0)
        split = scenario.disaggregation
        self._role = "both" if split is None else "decode"
        for _ in range(split.prefill_replicas if split else 0):
            self.prefill_pods.append(self._creation.running_pod(is_prefill=True))
            self._open(self.prefill_pods[-1], "prefill")
        for ordinal in range(scenario.initial_replicas):
            self.pods.append(self._creation.running_pod(ordinal=ordinal if self._is_stateful else None))
            self._live.append(self.pods[-1])
            self._open(self.pods[-1], self._role)
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

    def node_of(self, pod: SimulatedPod) -> str:
        """The name of the node that the pod was bound to, "" while it has none."""
        node = self.cluster.pods[pod.uid].node
        return "" if node is None else node.name

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
        """When something may happen to a pod by itself: it is ready, it crashes, is killed, or may have drained."""
        soonest = self.revisions.next_event_seconds
        for pod in (*self._live, *self.prefill_pods):
            if pod.row is None:
                if pod.deleted is None:
                    soonest = min(soonest, pod.ready_at, pod.killed_at)
                elif pod.ended is None:
                    soonest = min(soonest, pod.stays_until, pod.leaves_by)
            else:
                soonest = min(soonest, pod.fails_at)
                if pod.deleted is not None:
                    soonest = min(soonest, self.now_seconds + _DRAIN_STEP_SECONDS, pod.leaves_by)
        return soonest

    def step(self, now_seconds: float, evictions: Sequence[Eviction] = ()) -> None:
        """Serve until then, when the next events are due, and let them happen.

        evictions: what the cluster told since the last step, of any fleet's pods.
        """
        self.engine.advance(now_seconds)
        self.now_seconds = now_seconds
        for eviction in evictions:
            self._evict(eviction)
        self._has_work |= self.revisions.next_event_seconds <= now_seconds
        opened = False
        for pod in (*self._live, *self.prefill_pods):
            if pod.starts == math.inf:
                self._creation.find_node(pod)
            if pod.row is not None and pod.fails_at <= now_seconds and not self._has_drained(pod):
                self._crash(pod)
            if pod.row is None and pod.deleted is None and pod.killed_at <= now_seconds:
                self._restart(pod)
            if pod.row is None and pod.deleted is None and pod.ready_at <= now_seconds:
                self._open(pod, "prefill" if pod in self.prefill_pods else self._role)
                opened = True
            if self._has_drained(pod):
                self._end(pod)
            elif pod.leaves_by <= now_seconds and pod.ended is None:
                self._kill(pod)
        if self._has_work:
            self._reconcile()
        if opened:
            self.engine.advance(now_seconds)  # what waits at the gateway is sent now
        if any(pod.ended is not None for pod in self._live):
            self._live = [pod for pod in self._live if pod.ended is None]

    def scale(self, replicas: int) -> None:
        """Set spec.replicas, as the scale subresource does; the pods follow."""
        self.replicas = replicas
        self._reconcile()

    def pod_list(self) -> tuple[Pod, ...]:
        """The pods as the API server shows them now."""
        return tuple(
            api_pod(pod, now_seconds=self.now_seconds, start_ns=self.trace.start_ns) for pod in self.existing()
        )

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

    def _reconcile(self) -> None:
        """What the workload's controller does when spec.replicas or its pods have changed."""
        self._has_work = False
        if self._is_stateful:
            self._reconcile_ordinals()
            return
        self.revisions.begin_if_due(self.now_seconds, self.replicas)
        if self.revisions.run is None:
            self._resize(OLD, self.replicas)
            return
        while self.revisions.next_sizes(self._live, self.engine, self.now_seconds, self.replicas):
            self._resize(OLD, self.revisions.sizes[OLD])
            self._resize(NEW, self.revisions.sizes[NEW])
        self._resize(OLD, self.revisions.sizes[OLD])  # pods that were evicted are replaced
        self._resize(NEW, self.revisions.sizes[NEW])
        self._route()

    def _resize(self, revision: str, replicas: int) -> None:
        """Let a ReplicaSet have so many pods."""
        active = [pod for pod in self.existing() if pod.is_wanted and pod.revision == revision]
        for _ in range(replicas - len(active)):
            self._create_pod(revision)
        for pod in self._to_delete(active, len(active) - replicas):
            self._delete(pod)
        self._live = [pod for pod in self._live if pod.ended is None]

    def _to_delete(self, active: Sequence[SimulatedPod], count: int) -> list[SimulatedPod]:
        """The first `count` of a ReplicaSet's pods to go; none for 0 or less."""
        if count <= 0:
            return []
        related = [pod for pod in self.existing() if pod.is_wanted]
        return deletion_order(active, self.now_seconds, node_of=self.node_of, related=related)[:count]

    def _route(self) -> None:
        """Let the router use the pods of the revisions that get requests, and no others, each for its share."""
        self.revisions.split(self.engine)
        for pod in self._live:
            if pod.row is not None and pod.is_wanted and pod.is_routed != self.revisions.routes(pod):
                pod.is_routed = not pod.is_routed
                (self.engine.open if pod.is_routed else self.engine.close)(pod.row)

    def _reconcile_ordinals(self) -> None:
        """Sync a StatefulSet until a sync changes nothing."""
        workload = self.scenario.workload
        while True:
            pods = {pod.ordinal: pod for pod in self.existing() if pod.ordinal is not None}
            states = {
                ordinal: OrdinalState(is_ready=pod.row is not None, is_terminating=pod.deleted is not None)
                for ordinal, pod in pods.items()
            }
            changes = next_changes(self.replicas, states, is_ordered=workload.pod_management_policy == "OrderedReady")
            if not changes:
                return
            for ordinal in changes.create:
                self._create_pod(ordinal=ordinal)
            for ordinal in changes.delete:
                self._delete(pods[ordinal])
            self._live = [pod for pod in self._live if pod.ended is None]

    def _create_pod(self, revision: str = OLD, ordinal: int | None = None) -> None:
        pod = self._creation.new_pod(self.now_seconds, revision=revision, ordinal=ordinal)
        self.pods.append(pod)
        self._live.append(pod)
        self._creation.place(pod)

    def _open(self, pod: SimulatedPod, role: str) -> None:
        """Its server is up: the router may use it."""
        pod.row = self.engine.add_server(pod.number, model=self.revisions.model(pod.revision), role=role)
        pod.is_routed = self.revisions.routes(pod)
        if pod.is_routed:
            self.engine.open(pod.row)
        self._has_work |= self._is_managed
        if pod.first_ready_at is None:
            pod.first_ready_at = pod.ready_at
        failures = self.scenario.failures
        if failures.mtbf_seconds < math.inf:
            stream = generator(self.scenario.seed, "failure", str(pod.number), str(pod.restarts))
            pod.fails_at = self.now_seconds + float(stream.exponential(failures.mtbf_seconds))

    def _crash(self, pod: SimulatedPod) -> None:
        """Its server dies; its container is started again on the same node, and loads the model anew."""
        self._stop_server(pod)
        self._has_work |= self._is_managed
        pod.fails_at = math.inf
        pod.unready_since = self.now_seconds
        self._restart(pod)

    def _restart(self, pod: SimulatedPod) -> None:
        """Its container ended now, and is started again when its back-off is over."""
        pod.restarts += 1
        pod.ends.append(self.now_seconds)
        pod.starts = pod.start.restart(self.now_seconds)
        pod.load_seconds = pod.start.load_seconds

    @property
    def _is_managed(self) -> bool:
        """Whether a controller waits for pods to be Ready or gone; a lone ReplicaSet does not."""
        return self._is_stateful or self.revisions.run is not None

    def _stop_server(self, pod: SimulatedPod) -> None:
        """Its server dies with all that it holds."""
        assert pod.row is not None
        self.engine.fail(pod.row, self.now_seconds, retries=self.scenario.failures.retry)
        self._leave_row(pod)

    def _leave_row(self, pod: SimulatedPod) -> None:
        assert pod.row is not None
        self.revisions.note(pod, self.engine)
        for counter in _COUNTERS:
            self._gone[counter] += int(self.engine.servers[counter][pod.row])
        self.engine.remove(pod.row)
        pod.row = None

    def _evict(self, eviction: Eviction) -> None:
        """A node leaves: its pod has until then to answer what it has, and its owner replaces it."""
        pod = next((each for each in (*self._live, *self.prefill_pods) if each.uid == eviction.pod), None)
        if pod is None or pod.ended is not None:
            return
        pod.leaving = eviction.reason
        if pod.deleted is None:
            self._delete(pod)
        pod.leaves_by = min(pod.leaves_by, eviction.gone_at)
        if pod in self.prefill_pods:
            self.prefill_pods.append(self._creation.new_pod(self.now_seconds, is_prefill=True))
            self._creation.place(self.prefill_pods[-1])
        self._has_work = True

    def _delete(self, pod: SimulatedPod) -> None:
        """It gets no new requests, and has its grace period to answer those that it has."""
        termination = self.scenario.workload.termination
        pod.deleted = self.now_seconds
        pod.leaves_by = self.now_seconds + termination.grace_period_seconds
        if pod.first_starts <= self.now_seconds:
            pod.stays_until = self.now_seconds + termination.pre_stop_seconds
        if pod.row is not None:
            self.engine.close(pod.row)
        if self._has_drained(pod):
            self._end(pod)

    def _kill(self, pod: SimulatedPod) -> None:
        """Its grace period is over: SIGKILL."""
        if pod.row is not None:
            self._stop_server(pod)
        self._end(pod)
        pod.ended = self.now_seconds

    def _has_drained(self, pod: SimulatedPod) -> bool:
        """Deleted, with nothing left to answer and nothing to wait for."""
        is_over = pod.deleted is not None and pod.ended is None and pod.stays_until <= self.now_seconds
        return is_over and not self.outstanding(pod)

    def _end(self, pod: SimulatedPod) -> None:
        """A deleted pod has answered all it had."""
        assert pod.deleted is not None
        pod.ended = max(pod.deleted, pod.stays_until)
        if pod.row is not None:
            pod.ended = max(pod.ended, float(self.engine.servers["last_finish"][pod.row]))
            self._leave_row(pod)
        elif pod.restarts:
            pod.ended = max(pod.ended, pod.unready_since)
        pod.start.abandon(self.now_seconds)
        if pod.ordinal is not None and pod.ordinal >= self.replicas:
            self._creation.scaled_down(pod.ordinal)
        self._has_work |= self._is_managed
        if self.cluster.pods[pod.uid].released_at is None:  # else its node has gone with it
            self.cluster.release(pod.uid, self.now_seconds)
