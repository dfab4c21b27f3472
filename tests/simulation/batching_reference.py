"""Batching servers written for clarity: Python lists, one server, every request looked at again and again.

It shares no code with simulations/batching but the rules' fields. The dynamic batcher follows the C++ of Triton's
BatcherThread and GetDynamicBatch step by step, TorchServe's the Java of pollInferJob.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulations.batching import BatchProfile
from simulations.batching.rule import COLLECTING, DYNAMIC, Rule


@dataclass(frozen=True)
class Ruled:
    """A server that is its rule."""

    of: Rule

    def rule(self) -> Rule:
        return self.of


@dataclass(eq=False)
class Payload:
    """A batch. state: ready, executing."""

    requests: list[int] = field(default_factory=list)
    state: str = "uninitialized"
    end: float = 0.0


@dataclass
class Answers:
    """finish: None for what was refused. begun: when each request's batch began. batches: sizes, in order of start."""

    finish: list[float | None]
    begun: list[float | None]
    batches: list[int] = field(default_factory=list)


class SlowServer:
    """One server. Requests are numbered in order of arrival."""

    def __init__(self, rule: Rule, profile: BatchProfile, arrivals: Sequence[float], prompts: Sequence[int]) -> None:
        self.rule, self.profile, self.arrivals, self.prompts = rule, profile, arrivals, prompts
        self.queue: list[int] = []
        self.executing: list[Payload] = []
        self.answers = Answers([None] * len(arrivals), [None] * len(arrivals))
        # Triton
        self.instance_queue: list[Payload] = []
        self.current = Payload()
        self.saturated = False
        self.pending: list[int] = []
        # TorchServe
        self.jobs: list[int] = []
        self.max_delay_ends = 0.0

    def run(self) -> Answers:
        """Serve all arrivals to the end."""
        timers: set[float] = set()
        coming = list(range(len(self.arrivals)))
        while coming or self.executing or timers:
            instants = [payload.end for payload in self.executing] + list(timers)
            now = min([*instants, self.arrivals[coming[0]]] if coming else instants)
            timers = {at for at in timers if at > now}
            self._end_due(now)
            while coming and self.arrivals[coming[0]] == now:
                if self._is_full():
                    timers |= self._act(now)
                if not self._is_full():
                    self.queue.append(coming[0])
                del coming[0]
            timers |= self._act(now)
        return self.answers

    def _is_full(self) -> bool:
        return 0 < self.rule.max_queue_size <= len(self.queue)

    def _act(self, now: float) -> set[float]:
        if self.rule.kind == DYNAMIC:
            return self._batcher_thread(now)
        if self.rule.kind == COLLECTING:
            return self._workers(now)
        return self._fixed(now)

    def _end_due(self, now: float) -> None:
        for payload in [one for one in self.executing if one.end <= now]:
            self.executing.remove(payload)
            for request in payload.requests:
                self.answers.finish[request] = now

    def _execute(self, payload: Payload, now: float) -> None:
        payload.state = "executing"
        prompts = [self.prompts[request] for request in payload.requests]
        seconds = self.profile.batch_seconds(prompts, [1] * len(prompts))
        if self.rule.pads:
            seconds += self.profile.per_item_seconds * (self.rule.max_batch_size - len(prompts))
        payload.end = now + seconds
        self.executing.append(payload)
        self.answers.batches.append(len(prompts))
        for request in payload.requests:
            self.answers.begun[request] = now

    def _fixed(self, now: float) -> set[float]:
        while self.queue and len(self.executing) < self.rule.instances:
            due = self.arrivals[self.queue[0]] + self.rule.delay_seconds
            if len(self.queue) < self.rule.max_batch_size and now < due:
                return {due}
            size = min(len(self.queue), self.rule.max_batch_size)
            self._execute(Payload(self.queue[:size]), now)
            del self.queue[:size]
        return set()

    def _workers(self, now: float) -> set[float]:
        while True:
            if not self.jobs:
                if not self.queue or len(self.executing) == self.rule.instances:
                    return set()
                self.jobs = [self.queue.pop(0)]
                self.max_delay_ends = now + self.rule.delay_seconds
            for _ in range(self.rule.max_batch_size - len(self.jobs)):
                if not self.queue:
                    if now < self.max_delay_ends:
                        return {self.max_delay_ends}
                    break
                self.jobs.append(self.queue.pop(0))
                if now >= self.max_delay_ends:
                    break
            self._execute(Payload(self.jobs), now)
            self.jobs = []

    def _batcher_thread(self, now: float) -> set[float]:
        self._consume(now)
        while True:
            if self.saturated or self.current.state == "executing":
                self.current, self.saturated = Payload(), False
            if self.rule.prefetches:
                slot = len(self.instance_queue) < 2 * self.rule.instances
            else:
                slot = len(self.executing) < self.rule.instances
            if not slot:
                return set()
            expired = [one for one in self.queue if now > self.arrivals[one] + self.rule.timeout_seconds]
            if expired:
                self.queue = [one for one in self.queue if one not in expired]
                self.pending = []
            if not self.queue:
                return set()
            wait_until = self._get_dynamic_batch(now)
            if wait_until is not None:
                closest = self.arrivals[self.queue[0]] + self.rule.timeout_seconds + 1e-6
                return {min(wait_until, closest)}
            if self.pending:
                self.current.requests += self.pending
                self.queue = self.queue[len(self.pending) :]
                self.pending = []
            if self.current.state == "uninitialized" and self.current.requests:
                self.current.state = "ready"
                self.instance_queue.append(self.current)
            self._consume(now)

    def _get_dynamic_batch(self, now: float) -> float | None:
        """None: `pending` is to be sent, as far as it has any. Else when the delay is over."""
        preferred, delay = set(self.rule.preferred_batch_sizes), self.rule.delay_seconds
        in_payload = len(self.current.requests)
        send_now, best, mark = False, 0, 0
        while len(self.pending) < len(self.queue):
            if in_payload + len(self.pending) > 0:
                if in_payload + len(self.pending) + 1 > max(preferred) and best == 0:
                    best = mark = len(self.pending)
                    self.saturated = True
                if in_payload + len(self.pending) + 1 > self.rule.max_batch_size:
                    send_now = True
                    break
            self.pending.append(self.queue[len(self.pending)])
            if in_payload + len(self.pending) in preferred:
                best = mark = len(self.pending)
        due = self.arrivals[self.queue[0]] + delay
        exceeded = delay != 0 and now >= due
        if best != 0 and not exceeded:
            if delay == 0:
                self.saturated = True
            self.pending = self.pending[:mark]
            return None
        if not self.pending:
            return None
        if send_now or in_payload + len(self.pending) >= max(preferred):
            self.saturated = True
            return None
        if exceeded or delay == 0:
            return None
        if not self.saturated and in_payload != 0 and in_payload not in preferred:
            return None
        return due

    def _consume(self, now: float) -> None:
        """InstanceQueue::Dequeue, by every idle instance."""
        while self.instance_queue and len(self.executing) < self.rule.instances:
            payload = self.instance_queue.pop(0)
            merging = self.rule.delay_seconds > 0
            while merging and self.instance_queue:
                front = self.instance_queue[0]
                merging = False
                if min(self.arrivals[one] for one in front.requests) + self.rule.delay_seconds < now:
                    front.state = "executing"
                    if len(payload.requests) + len(front.requests) <= self.rule.max_batch_size:
                        payload.requests += front.requests
                        self.instance_queue.pop(0)
                        merging = True
            self._execute(payload, now)
