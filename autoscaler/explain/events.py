"""Events of a PredictiveAutoscaler: one for each change of the desired count, of what was written, or of a condition.

    told      desired or written replicas changed, an error came, a condition turned
    joined    the same words again within 30 min: counted in the series of the event that is there
    budgeted  at most 10 new events per object in 10 min, and one of mere advice, which may turn at every step; what was
              left out is counted in the next one

Source: kubernetes/api events/v1 types.go and, for joining, client-go tools/events/event_broadcaster.go (refreshTime);
lengths by pkg/apis/core/validation/events.go, v1.36.3.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from adapter.sources.kubernetes.api import ApiError, Json
from autoscaler.act.writer import Writer
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.explain.conditions import conditions, is_well
from autoscaler.outcome import Finding, Outcome
from policies.snapshot import NS_PER_SECOND

_NOTE_BYTES = 1024
_REASON_CHARACTERS = 128
_JOINED_NS = 30 * 60 * NS_PER_SECOND
BUDGET_EVENTS, BUDGET_SECONDS = 10, 600
_ADVICE = "DesiredReplicasChanged"
_QUIET = frozenset({"Ready", "ScalingLimited"})
"""Conditions without events: Ready repeats another one, a limit comes and goes with each change of the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an Event says. action: what was done or tried."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str


def changes(before: Outcome | None, after: Outcome) -> Iterator[Told]:
    """What is new in this step; before: the last one, None for the first (then only what is not well is told)."""
    acted = after.acted
    if acted.after is not None:
        why = "" if after.decision is None else f": {after.decision.message}"
        note = f"{acted.to}: {acted.before} -> {acted.after}{why}"
        yield Told(type="Normal", reason="SuccessfulRescale", action="Rescale", note=note)
    if acted.error and (before is None or before.acted.error != acted.error):
        yield Told(type="Warning", reason="FailedRescale", action="Rescale", note=acted.error)
    if _desired(before) not in (None, _desired(after)) and after.decision is not None and acted.after is None:
        yield Told(type="Normal", reason=_ADVICE, action="Decide", note=_advice(after))
    known = {} if before is None else {each.type: each for each in conditions(before)}
    for finding in conditions(after):
        if finding.type not in _QUIET and _turned(known.get(finding.type), finding):
            yield _of_condition(finding)


def _desired(outcome: Outcome | None) -> int | None:
    return None if outcome is None or outcome.decision is None else outcome.decision.desired_replicas


def _advice(outcome: Outcome) -> str:
    assert outcome.decision is not None
    withheld = f" ({outcome.acted.withheld})" if outcome.acted.withheld else ""
    return f"{outcome.decision.message}{withheld}"


def _turned(before: Finding | None, after: Finding) -> bool:
    """Another status; or, while it is not well, another reason. What is not observed for once is no turn."""
    if before is None:
        return not is_well(after) and after.status != "Unknown"
    return before.status != after.status or (not is_well(after) and before.reason != after.reason)


def _of_condition(finding: Finding) -> Told:
    return Told(
        type="Normal" if is_well(finding) or finding.reason == "Paused" else "Warning",
        reason=finding.reason,
        action="Observe",
        note=f"{finding.type} is {finding.status}: {finding.message}",
    )


@dataclass(slots=True)
class _Sent:
    name: str
    first_ns: int
    last_ns: int
    count: int = 1


@dataclass(slots=True)
class _Memory:
    """Of one object. sent: by words. spent: instants of new events within the budget's time. left_out: since then.
    advised_ns: when advice was told last."""

    uid: str
    last: Outcome | None = None
    sent: dict[Told, _Sent] = field(default_factory=dict)
    spent: deque[int] = field(default_factory=deque)
    left_out: int = 0
    advised_ns: int | None = None


class Events:
    """Sends what changes. component: reportingController, a qualified name; instance: this replica (the pod)."""

    def __init__(self, writer: Writer, *, component: str, instance: str) -> None:
        self._writer = writer
        self._component = component
        self._instance = instance[:128]
        self._of: dict[Key, _Memory] = {}

    def follow(self, outcome: Outcome) -> None:
        """Take a step for known without a word about it: as a follower does, whose leader tells."""
        self._memory(outcome).last = outcome

    async def report(self, autoscaler: Autoscaler, outcome: Outcome) -> int:
        """Send what is new; how many requests that took. Raises NotLeader, ApiError; an Event that fails is lost, as
        client-go's are in the end: status and log still tell it."""
        memory = self._memory(outcome)
        told = tuple(changes(memory.last, outcome))
        memory.last = outcome
        requests = 0
        for each in told:
            requests += await self._send(autoscaler, memory, each, outcome.at_ns)
        return requests

    def forget(self, key: Key) -> None:
        self._of.pop(key, None)

    def _memory(self, outcome: Outcome) -> _Memory:
        memory = self._of.get(outcome.key)
        if memory is None or memory.uid != outcome.uid:
            memory = self._of[outcome.key] = _Memory(uid=outcome.uid)
        return memory

    async def _send(self, autoscaler: Autoscaler, memory: _Memory, told: Told, now_ns: int) -> int:
        if told.reason == _ADVICE:
            if memory.advised_ns is not None and now_ns - memory.advised_ns < BUDGET_SECONDS * NS_PER_SECOND:
                memory.left_out += 1
                return 0
            memory.advised_ns = now_ns
        for words in [words for words, sent in memory.sent.items() if now_ns - sent.last_ns >= _JOINED_NS]:
            del memory.sent[words]
        sent = memory.sent.get(told)
        if sent is not None and await self._join(autoscaler.key, sent, now_ns):
            return 1
        while memory.spent and now_ns - memory.spent[0] >= BUDGET_SECONDS * NS_PER_SECOND:
            memory.spent.popleft()
        if len(memory.spent) >= BUDGET_EVENTS:
            memory.left_out += 1
            return 0
        shown = told
        if memory.left_out:
            shown = replace(told, note=f"{told.note} ({memory.left_out} more events were left out)")
        stem = autoscaler.key.name[:200].rstrip(".-")  # a name has 253 characters at most
        name = f"{stem}.{now_ns:x}.{len(memory.spent)}"  # the last of these tells several of one step apart
        memory.spent.append(now_ns)
        body = event_json(autoscaler, shown, name, now_ns, component=self._component, instance=self._instance)
        await self._writer.create(_path(autoscaler.key), body, kind="event")
        memory.left_out = 0
        memory.sent[told] = _Sent(name, now_ns, now_ns)
        return 1

    async def _join(self, key: Key, sent: _Sent, now_ns: int) -> bool:
        """Count it in the series of its event; False where the API server has forgotten that (after 1 h by default)."""
        series = {"count": sent.count + 1, "lastObservedTime": micro_time(now_ns)}
        try:
            await self._writer.merge(f"{_path(key)}/{sent.name}", {"series": series}, kind="event")
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        sent.count, sent.last_ns = sent.count + 1, now_ns
        return True


def event_json(autoscaler: Autoscaler, told: Told, name: str, now_ns: int, *, component: str, instance: str) -> Json:
    """An Event of events.k8s.io/v1."""
    key = autoscaler.key
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": key.namespace},
        "eventTime": micro_time(now_ns),
        "reportingController": component,
        "reportingInstance": instance,
        "type": told.type,
        "reason": told.reason[:_REASON_CHARACTERS],
        "action": told.action,
        "note": _cut(told.note),
        "regarding": {
            "apiVersion": "autoscaling.leadtime.dev/v1alpha1",
            "kind": "PredictiveAutoscaler",
            "namespace": key.namespace,
            "name": key.name,
            "uid": autoscaler.uid,
            "resourceVersion": autoscaler.resource_version,
        },
    }


def micro_time(at_ns: int) -> str:
    """A metav1.MicroTime: UTC with six digits."""
    return datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + (
        f"{at_ns % NS_PER_SECOND // 1000:06d}Z"
    )


def _cut(note: str) -> str:
    """The API server counts bytes."""
    encoded = note.encode()
    if len(encoded) <= _NOTE_BYTES:
        return note
    return encoded[: _NOTE_BYTES - 3].decode(errors="ignore") + "..."


def _path(key: Key) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{key.namespace}/events"
