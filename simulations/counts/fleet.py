"""A fleet at count level: pods that are asked for, become ready a lead time later, serve alike and end.

The lead time of the n-th pod is that of the simulator's n-th pod on a node of its own (`simulations.lead_time.Draws`),
so that both levels of a comparison, and all policies, run on common random numbers.
"""

import heapq
import math
from dataclasses import dataclass, field, replace

import numpy as np

from policies.capacity.profile import Profile
from policies.snapshot import NS_PER_SECOND, Container, Pod
from simulations.counts.demand_counts import Counts
from simulations.counts.queue import Flow, Mix, Queue
from simulations.lead_time import Draws, LeadTime, Stage

_CONTAINERS = (Container(name="vllm", requests_milli={"cpu": 1000}),)
_AT_ONCE = Stage(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What one replica has done since second zero, had it served from the start; a pod's own is a difference of two."""

    prompt_tokens: float = 0.0
    generation_tokens: float = 0.0


@dataclass(slots=True, eq=False, kw_only=True)
class CountPod:
    """Seconds since the start. begun: the totals when it became ready. draining_until: None while it is wanted.

    shown: as the API server shows it; a new value at each change, so that lists of pods can be kept.
    """

    number: int
    shown: Pod
    created: float
    starts: float
    ready_at: float
    is_ready: bool = False
    begun: Totals = field(default_factory=Totals)
    draining_until: float | None = None


class CountFleet:
    """The caller moves time with `advance`, at most to the next change of the arrivals, and capacity with `scale`.

    ready: pods that take requests. replicas: asked for. gpu_seconds: of pods that have ended.
    admitted: requests that have left the queue so far.
    """

    def __init__(
        self, profile: Profile, counts: Counts, lead_time: LeadTime, *, initial_replicas: int, seed: int
    ) -> None:
        self.profile = profile
        self.start_ns = counts.start_ns
        self.now_seconds = 0.0
        self.replicas = initial_replicas
        self.queue = Queue(profile)
        self.totals = Totals()
        self.admitted = 0.0
        self.step_seconds = profile.base_seconds
        self.pods: dict[int, CountPod] = {}
        self.ready: dict[int, CountPod] = {}
        self.gpu_seconds = 0.0
        self._draws = Draws(lead_time, seed)
        self._drain_tokens = _residual_quantiles(counts)
        self._created = 0
        self._changes: list[tuple[float, int]] = []
        self._pod_list: tuple[Pod, ...] | None = None
        for _ in range(initial_replicas):
            self._open(self._new_pod(starts=0.0, ready_at=0.0))

    @property
    def now_ns(self) -> int:
        return self._ns(self.now_seconds)

    def next_change_seconds(self) -> float:
        """When a pod starts, becomes ready or has drained."""
        return self._changes[0][0] if self._changes else math.inf

    def advance(self, seconds: float, arrivals: float, mix: Mix) -> Flow:
        """Serve for so long; then let the pods that are due change."""
        count = len(self.ready)
        flow = self.queue.advance(seconds, arrivals, count, mix)
        self.now_seconds += seconds
        if count:
            before = self.totals
            self.admitted += flow.admitted
            self.totals = Totals(
                prompt_tokens=before.prompt_tokens + flow.admitted * mix.prompt_tokens / count,
                generation_tokens=before.generation_tokens + flow.generated_tokens / count,
            )
            self.step_seconds = flow.step_seconds
        while self._changes and self._changes[0][0] <= self.now_seconds + 1e-9:
            pod = self.pods.get(heapq.heappop(self._changes)[1])
            if pod is not None:
                self._change(pod)
        return flow

    def scale(self, replicas: int) -> None:
        """Set spec.replicas. Down: pods that have not started first, then those not ready, then the youngest ready."""
        for _ in range(replicas - self.replicas):
            lead_time = self._draws.pod(self._created)
            starts = self.now_seconds + lead_time.start_seconds_after(_AT_ONCE)
            self._new_pod(starts=starts, ready_at=starts + lead_time.load_seconds)
        if replicas < self.replicas:
            wanted = [pod for pod in self.pods.values() if pod.draining_until is None]
            wanted.sort(
                key=lambda pod: (pod.starts > self.now_seconds, not pod.is_ready, pod.ready_at, pod.number),
                reverse=True,
            )
            for pod in wanted[: self.replicas - replicas]:
                self._delete(pod)
        self.replicas = replicas

    def spent_gpu_seconds(self) -> float:
        """From each pod's creation to its end, or to now; whole replicas, in GPUs."""
        running = sum(self.now_seconds - pod.created for pod in self.pods.values())
        return self.gpu_seconds + self.profile.gpus_per_replica * running

    def draining_requests(self) -> float:
        """Requests on terminating pods: each had a batch when it was deleted, which falls evenly to 0."""
        return sum(
            self.queue.batch * (pod.draining_until - self.now_seconds) / self._drain_seconds()
            for pod in self.pods.values()
            if pod.draining_until is not None and pod.is_ready
        )

    def pod_list(self) -> tuple[Pod, ...]:
        """As the API server shows them now, oldest first."""
        if self._pod_list is None:
            self._pod_list = tuple(pod.shown for pod in self.pods.values())
        return self._pod_list

    def name(self, number: int) -> str:
        return f"vllm-{number:05d}"

    def _new_pod(self, *, starts: float, ready_at: float) -> CountPod:
        now = self.now_seconds
        pod = CountPod(
            number=self._created,
            created=now,
            starts=starts,
            ready_at=ready_at,
            shown=Pod(
                name=self.name(self._created),
                phase="Pending",
                ready="False",
                created_ns=self._ns(now),
                ready_transition_ns=self._ns(now),
                containers=_CONTAINERS,
            ),
        )
        self._created += 1
        self.pods[pod.number] = pod
        self._pod_list = None
        heapq.heappush(self._changes, (starts, pod.number))
        heapq.heappush(self._changes, (ready_at, pod.number))
        if starts <= now:
            self._change(pod)
        return pod

    def _change(self, pod: CountPod) -> None:
        """What is due of this pod happens."""
        now = self.now_seconds + 1e-9
        if pod.draining_until is not None:
            if pod.draining_until <= now:
                self._end(pod, pod.draining_until)
        elif not pod.is_ready and pod.ready_at <= now:
            self._open(pod)
        elif pod.starts <= now and pod.shown.phase == "Pending":
            pod.shown = replace(pod.shown, phase="Running", start_ns=self._ns(pod.starts))
            self._pod_list = None

    def _open(self, pod: CountPod) -> None:
        """It takes its share of the requests; the batches of the others shrink to the new mean."""
        if pod.is_ready:
            return
        pod.is_ready = True
        pod.begun = self.totals
        pod.shown = replace(
            pod.shown,
            phase="Running",
            ready="True",
            start_ns=self._ns(pod.starts),
            ready_transition_ns=self._ns(pod.ready_at),
        )
        self.queue.batch *= len(self.ready) / (len(self.ready) + 1)
        self.ready[pod.number] = pod
        self._pod_list = None

    def _delete(self, pod: CountPod) -> None:
        """It leaves with its batch, which it finishes; one that never served ends at once."""
        if not pod.is_ready:
            self._end(pod, self.now_seconds)
            return
        del self.ready[pod.number]
        pod.draining_until = self.now_seconds + self._drain_seconds()
        pod.shown = replace(pod.shown, deleting=True)
        self._pod_list = None
        heapq.heappush(self._changes, (pod.draining_until, pod.number))

    def _drain_seconds(self) -> float:
        """Until the last of a batch of n is finished: about the n / (n + 1) quantile of what they have left.

        Its steps last from the present one's to an empty batch's as the batch shrinks; their mean is taken.
        """
        batch = self.queue.batch
        level = batch / (batch + 1.0)
        tokens = self._drain_tokens[min(int(level * len(self._drain_tokens)), len(self._drain_tokens) - 1)]
        return max(1e-3, tokens * (self.step_seconds + self.profile.base_seconds) / 2 * min(1.0, batch))

    def _end(self, pod: CountPod, at_seconds: float) -> None:
        del self.pods[pod.number]
        self.gpu_seconds += self.profile.gpus_per_replica * (at_seconds - pod.created)
        self._pod_list = None

    def _ns(self, seconds: float) -> int:
        return self.start_ns + round(seconds * NS_PER_SECOND)


def _residual_quantiles(counts: Counts) -> list[float]:
    """Tokens that a request seen while it decodes has left: its quantiles, 1,000 levels evenly in [0, 1).

    The residual life of a renewal process (Cox 1962, "Renewal Theory", 5.2): P(left <= x) = E[min(O, x)] / E[O].
    """
    outputs = np.sort(counts.sample_outputs.astype(np.float64))
    before = np.concatenate([[0.0], np.cumsum(outputs)[:-1]])
    probability = (before + outputs * np.arange(len(outputs), 0, -1)) / outputs.sum()
    levels: list[float] = np.interp(np.arange(1_000) / 1_000, probability, outputs).tolist()
    return levels
