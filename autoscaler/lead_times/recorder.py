"""Learns lead times from what watches bring: pods, their events and nodes, in whatever order they come."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapter.sources.series import PodKey
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.lead_times.event_facts import EventFacts, event_facts
from autoscaler.lead_times.lead_time import LeadTime
from autoscaler.lead_times.lead_times import LeadTimes
from autoscaler.lead_times.node_facts import NodeFacts, node_facts
from autoscaler.lead_times.pod_facts import PodFacts, pod_facts
from autoscaler.lead_times.step import UNKNOWN_ROOM, Room, Step, step_seconds
from autoscaler.lead_times.store import Store
from autoscaler.lead_times.summary import Summary, sentence, summary_of
from autoscaler.lead_times.timeline import Timeline, joined, lead_time_of
from policies.snapshot import NS_PER_SECOND

Json = Mapping[str, Any]
WorkloadOf = Callable[[Json], Key | None]
"""Of a pod, reduced to metadata {namespace, name, uid, labels, ownerReferences}: whose replica it is. A group's workers
(LeaderWorkerSet) are none: its leader is."""

_SETTLE_NS = 30 * NS_PER_SECOND
"""After Ready, for events that come by another watch."""
_ENDED_NS = 7200 * NS_PER_SECOND
"""An ended pod is remembered so long, as it may have been there when a later one was created."""
_ASK_NS = 60 * NS_PER_SECOND
"""A pod that was created later after an ask came for another reason, or in its turn (OrderedReady)."""
_MOST_PODS = 20_000
_MOST_EVENTS = 20_000
"""Pods of which events came and no object yet; the oldest go first."""
_MOST_A_TURN = 500
"""Settled at a time: some 50 ms of the event loop, when a controller starts among thousands of Ready pods."""
_ASKS_KEPT = 20
_ANSWERS_KEPT = 10_000


@dataclass(slots=True)
class _Seen:
    """A pod. metadata: what tells whose it is. key: None while it is nobody's."""

    timeline: Timeline
    first_seen_ns: int
    metadata: Json
    key: Key | None = None


class LeadTimeRecorder:
    """One for the controller. on_pod, on_event and on_node take raw objects and never raise; `flush` does the rest.

    A pod counts once it has been Ready for 30 s, so that late events are in. Pods that were Ready when the controller
    started count too, by their own conditions.
    """

    def __init__(self, *, workload_of: WorkloadOf, store: Store, clock: Clock) -> None:
        self._workload_of = workload_of
        self._store = store
        self._clock = clock
        self._pods: dict[str, _Seen] = {}
        self._uids: dict[tuple[str, str], str] = {}
        self._early_events: dict[str, EventFacts] = {}
        self._nodes: dict[str, NodeFacts] = {}
        self._members: dict[Key, set[str]] = {}
        self._open: set[str] = set()  # neither evidence nor none yet, and somebody's
        self._unowned: set[str] = set()
        self._asks: dict[Key, deque[int]] = {}
        self._known: dict[Key, LeadTimes] = {}
        self._answers: dict[tuple[Key, Step, tuple[int | None, tuple[tuple[str, int], ...]], float], float] = {}
        self._begun_anew = 0
        self.left_out: Counter[str] = Counter()
        """Why Ready pods were no evidence (timeline.NoEvidence); `Malformed` objects; `Overflow` of what is kept."""

    # What watches bring

    def on_pod(self, pod: Json) -> None:
        """A version of a pod, v1 JSON."""
        try:
            facts = pod_facts(pod)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.left_out["Malformed"] += 1
            return
        seen = self._pods.get(facts.uid)
        if seen is None:
            events = self._early_events.pop(facts.uid, EventFacts())
            seen = _Seen(Timeline(pod=facts, events=events), self._clock.now_ns(), _identity(pod))
            self._remember(seen)
        else:
            seen.timeline = joined(seen.timeline, pod=facts)

    def on_pod_gone(self, pod: PodKey) -> None:
        """A pod is no more; one that was deleted without a grace period is told by this alone."""
        seen = self._pods.get(self._uids.get((pod.namespace, pod.name), ""))
        if seen is not None and seen.timeline.pod.ended_ns is None:
            seen.timeline = joined(seen.timeline, pod=_ended(seen.timeline.pod, self._clock.now_ns()))

    def on_event(self, event: Json) -> None:
        """An event, core/v1 or events.k8s.io/v1 JSON; also of what is no pod."""
        try:
            found = event_facts(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.left_out["Malformed"] += 1
            return
        if found is None:
            return
        uid, facts = found
        seen = self._pods.get(uid)
        if seen is not None:
            seen.timeline = joined(seen.timeline, events=facts)
        else:
            self._early_events[uid] = self._early_events.get(uid, EventFacts()).joined(facts)
            if len(self._early_events) > _MOST_EVENTS:
                self._early_events.pop(next(iter(self._early_events)))

    def on_node(self, node: Json) -> None:
        """A version of a node, v1 JSON. A node that is gone is remembered: its pods may not be settled yet."""
        try:
            facts = node_facts(node)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.left_out["Malformed"] += 1
            return
        self._nodes.pop(facts.name, None)
        self._nodes[facts.name] = facts
        if len(self._nodes) > _MOST_PODS:
            self._nodes.pop(next(iter(self._nodes)))

    # What the controller does

    def asked(self, key: Key, at_ns: int) -> None:
        """More replicas were asked for: pods that are created within a minute count from then on."""
        self._asks.setdefault(key, deque(maxlen=_ASKS_KEPT)).append(at_ns)

    def workloads_changed(self) -> None:
        """Pods that were nobody's may be somebody's now: look again at the next flush."""
        for uid in self._unowned:
            self._pods[uid].key = None
        self._open |= self._unowned
        self._unowned.clear()

    def forget(self, key: Key) -> None:
        """The PredictiveAutoscaler is gone."""
        self._known.pop(key, None)
        self._asks.pop(key, None)
        for uid in self._members.pop(key, ()):
            self._pods[uid].key = None
            self._unowned.add(uid)
            self._open.discard(uid)
        self._store.forget(key)

    async def load(self) -> None:
        """What the file knows, before the watches start."""
        for key, lead_times in (await self._store.lead_times()).items():
            self._known[key] = LeadTimes.of([*lead_times, *self._known.get(key, LeadTimes())])
        self._answers.clear()

    async def flush(self) -> None:
        """Settle the pods that are due and write what was learned; every few seconds."""
        self.settle()
        await self._store.flush()
        if self._store.begun_anew != self._begun_anew:
            self._begun_anew = self._store.begun_anew
            for key, lead_times in self._known.items():
                for each in lead_times:
                    self._store.add_lead_time(key, each)

    # What is asked of it

    def lead_times(self, key: Key) -> LeadTimes:
        return self._known.get(key, LeadTimes())

    def lead_time_seconds(
        self, key: Key, assumed_seconds: float, step: Step | None = None, room: Room = UNKNOWN_ROOM
    ) -> float | None:
        """For Snapshot.lead_time_seconds: until a step like this one serves whole; one replica by default.

        None where nothing was learned: then a policy's own learning is as good.
        """
        known = self._known.get(key)
        if not known:
            return None
        step = step or Step()
        question = (key, step, (room.replicas, tuple(sorted(room.by_zone.items()))), assumed_seconds)
        answer = self._answers.get(question)
        if answer is None:
            if len(self._answers) >= _ANSWERS_KEPT:
                self._answers.clear()
            answer = self._answers[question] = step_seconds(known, step, room, assumed_seconds)
        return answer

    def words(self, key: Key, assumed_seconds: float) -> str:
        return sentence(self.lead_times(key), assumed_seconds)

    def summary(self, key: Key, assumed_seconds: float) -> Summary:
        return summary_of(self.lead_times(key), assumed_seconds)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the file, one sentence each."""
        return self._store.faults

    @property
    def pending(self) -> int:
        """Pods of which it is not settled yet whether they are evidence."""
        return len(self._open)

    # Settling

    def settle(self) -> None:
        """Decide on the pods that have been Ready for long enough, and forget those that ended long ago."""
        now_ns, settled = self._clock.now_ns(), 0
        for uid in sorted(self._open, key=lambda uid: self._pods[uid].timeline.pod.created_ns):
            seen = self._pods[uid]
            if seen.key is None and not self._claim(uid, seen):
                continue
            ready = seen.timeline.pod.ready
            is_due = ready is not None and now_ns - max(ready.at_ns, seen.first_seen_ns) >= _SETTLE_NS
            if is_due and settled < _MOST_A_TURN:
                self._settle(uid, seen)
                settled += 1
        for uid, seen in list(self._pods.items()):
            ended_ns = seen.timeline.pod.ended_ns
            if ended_ns is not None and now_ns - ended_ns > _ENDED_NS:
                self._drop(uid)

    def _claim(self, uid: str, seen: _Seen) -> bool:
        """Whether it is some workload's replica."""
        seen.key = self._workload_of({"metadata": seen.metadata})
        if seen.key is None:
            self._open.discard(uid)
            self._unowned.add(uid)
            return False
        self._members.setdefault(seen.key, set()).add(uid)
        return True

    def _settle(self, uid: str, seen: _Seen) -> None:
        key, pod = seen.key, seen.timeline.pod
        assert key is not None
        self._open.discard(uid)
        known = self.lead_times(key)
        if any(each.pod_uid == uid for each in known):
            return  # by the file, from before a restart
        found = lead_time_of(
            seen.timeline,
            node=self._nodes.get(pod.node),
            others=self._others(key),
            asked_ns=self._asked_ns(key, pod.created_ns),
            is_returning=pod.ordinal is not None and self._has_served(key, known, pod.ordinal, pod.created_ns),
        )
        if isinstance(found, LeadTime):
            self._known[key] = known.added(found)
            self._answers = {question: value for question, value in self._answers.items() if question[0] != key}
            self._store.add_lead_time(key, found)
        elif found is not None:
            self.left_out[found] += 1

    def _others(self, key: Key) -> Iterable[PodFacts]:
        return (self._pods[uid].timeline.pod for uid in self._members.get(key, ()))

    def _has_served(self, key: Key, known: LeadTimes, ordinal: int, before_ns: int) -> bool:
        """Also by a pod that was no evidence of a lead time: its volume is there all the same."""
        return known.has_served(ordinal, before_ns) or any(
            other.ordinal == ordinal and other.ready is not None and other.ready.at_ns < before_ns
            for other in self._others(key)
        )

    def _asked_ns(self, key: Key, created_ns: int) -> int | None:
        """The last ask within a minute before the creation, which is written in whole seconds, rounded down."""
        asks = [at_ns for at_ns in self._asks.get(key, ()) if -NS_PER_SECOND < created_ns - at_ns <= _ASK_NS]
        return max(asks, default=None)

    # What is kept

    def _remember(self, seen: _Seen) -> None:
        pod = seen.timeline.pod
        self._pods[pod.uid] = seen
        self._uids[pod.namespace, pod.name] = pod.uid
        self._open.add(pod.uid)
        if len(self._pods) > _MOST_PODS:
            self.left_out["Overflow"] += 1
            self._drop(next(iter(self._pods)))

    def _drop(self, uid: str) -> None:
        seen = self._pods.pop(uid)
        name = (seen.timeline.pod.namespace, seen.timeline.pod.name)
        if self._uids.get(name) == uid:
            del self._uids[name]
        self._open.discard(uid)
        self._unowned.discard(uid)
        if seen.key is not None and (members := self._members.get(seen.key)) is not None:
            members.discard(uid)


def _identity(pod: Json) -> Json:
    metadata = pod["metadata"]
    names = ("namespace", "name", "uid", "labels", "ownerReferences")
    return {name: metadata[name] for name in names if name in metadata}


def _ended(pod: PodFacts, at_ns: int) -> PodFacts:
    return replace(pod, ended_ns=at_ns)
