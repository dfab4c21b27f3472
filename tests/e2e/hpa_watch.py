"""What an HPA and its target do over time: every change, when it came, and waits that end with it.

Changes come by watches: the HPA's status, the target's replicas, pods, events. What the controller decided at each sync
is read from its log (flag --vmodule=horizontal=4), because a sync that changes nothing changes no status.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from control_plane import ControlPlane
from kube_api import Object
from kube_watch import KubeWatch
from pod_view import APP_LABEL, PodView

POLL_SECONDS = 0.05
SYNC_TIMEOUT_SECONDS = 30.0  # for one sync; the period is 2 s (scenario.py)
# Both as pkg/controller/podautoscaler/horizontal.go says them.
_PROPOSAL = re.compile(r'"Proposing desired replicas(?: from zero)?" desiredReplicas=(\d+) .*scaleTarget="([^"]+)"')
_FAILURE = re.compile(r"failed to compute desired number of replicas based on listed metrics for (\S+): ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How things were from at_seconds on, since the recording began.

    replicas, ready: of the target's spec and status. pods: how many are Pending, Loading, Ready, Ending.
    desired: status.desiredReplicas. metrics: name -> current value, as `kubectl get hpa` shows it.
    conditions: type -> (status, reason). syncs: decisions taken so far; proposed: by the last one, before the limits.
    failed_syncs: those that could not decide, for want of metrics. event: what was told at this moment, if this is an
    event.
    """

    at_seconds: float = 0.0
    replicas: int = 0
    ready: int = 0
    pods: Mapping[str, int] = field(default_factory=dict)
    desired: int | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    syncs: int = 0
    proposed: int | None = None
    failed_syncs: int = 0
    event: str = ""

    def value(self, metric: str) -> float | None:
        """A metric's current value as a number, None while the HPA has none. Of a utilization, percent."""
        text = self.metrics.get(metric)
        return None if text is None else number(text)

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of ScalingActive, AbleToScale, ScalingLimited or ScaledToZero; ("", "") if not set."""
        return self.conditions.get(kind, ("", ""))


class HpaWatch:
    """Records one HPA and its target from its start until close().

    timeline: what was, oldest first. messages: condition type -> its present message.
    """

    def __init__(self, plane: ControlPlane, hpa: Object) -> None:
        """hpa: as it will be applied; its target must be there."""
        namespace, self.name = hpa["metadata"]["namespace"], hpa["metadata"]["name"]
        target = hpa["spec"]["scaleTargetRef"]
        self.target = target["name"]
        self.timeline: list[Moment] = [Moment()]
        self.messages: Mapping[str, str] = {}
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._pods: dict[str, PodView] = {}
        self._log = _SyncLog(
            plane.folder / "kube-controller-manager.log", f"{target['kind']}/{namespace}/{self.target}"
        )
        here, kind = f"namespaces/{namespace}", f"{target['kind'].lower()}s"
        paths: Mapping[str, Callable[[str, Object], None]] = {
            f"/apis/autoscaling/v2/{here}/horizontalpodautoscalers?{_named(self.name)}": self._hpa_changed,
            f"/apis/apps/v1/{here}/{kind}?{_named(self.target)}": self._target_changed,
            f"/api/v1/{here}/pods?labelSelector={APP_LABEL}%3D{self.target}": self._pod_changed,
            f"/api/v1/{here}/events?{_about_hpa(self.name)}": self._event,
        }
        self._watches = [KubeWatch(plane.admin, path, changed) for path, changed in paths.items()]
        for watch in self._watches:
            assert watch.synced.wait(30.0), "the API server did not list"
        with self._lock:  # what is there already is where it starts, in whichever order it was listed
            self.timeline = [replace(self.timeline[-1], at_seconds=0.0)]

    @property
    def now(self) -> Moment:
        """The last moment, with the syncs that the log tells of by now."""
        syncs, proposed, failed_syncs = self._log.read()
        with self._lock:
            last = self.timeline[-1]
            if (syncs, failed_syncs) != (last.syncs, last.failed_syncs):
                self._add(syncs=syncs, proposed=proposed, failed_syncs=failed_syncs)
            return self.timeline[-1]

    @property
    def replica_path(self) -> list[int]:
        """The replicas that the target's spec had, one after another."""
        return [moment.replicas for moment in self.rescales()]

    def rescales(self) -> list[Moment]:
        """The first moment, and each at which the target's spec got other replicas."""
        pairs = zip(self.timeline[1:], self.timeline, strict=False)
        return [self.timeline[0], *(now for now, before in pairs if now.replicas != before.replicas)]

    @property
    def stayed_active(self) -> bool:
        """Whether its metrics had values at every sync since the first that had: ScalingActive stayed True."""
        seen = [moment.condition("ScalingActive") for moment in self.timeline]
        active = ("True", "ValidMetricFound")
        return active in seen and set(seen[seen.index(active) :]) == {active}

    def wait(self, until: Callable[[Moment], object], what: str, *, timeout_seconds: float = 30.0) -> Moment:
        """Until it is so; that moment. Raises AssertionError with the table."""
        deadline = time.monotonic() + timeout_seconds
        while not until(moment := self.now):
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: not {what} after {timeout_seconds:g} s\n{self.table()}")
            time.sleep(POLL_SECONDS)
        return moment

    def wait_value(self, metric: str, value: float, *, within: float = 0.0, timeout_seconds: float = 30.0) -> Moment:
        """Until the HPA's status shows this value of the metric, give or take `within`."""

        def shows(moment: Moment) -> bool:
            seen = moment.value(metric)
            return seen is not None and abs(seen - value) <= within

        return self.wait(shows, f"at {metric} = {value:g}", timeout_seconds=timeout_seconds)

    def wait_replicas(self, replicas: int, *, ready: bool = True, timeout_seconds: float = 30.0) -> Moment:
        """Until the target has this many replicas, all of them Ready unless said otherwise."""

        def so(moment: Moment) -> bool:
            return moment.replicas == replicas and (not ready or moment.ready == replicas)

        return self.wait(so, f"at {replicas} replicas", timeout_seconds=timeout_seconds)

    def wait_condition(self, kind: str, status: str, reason: str, *, timeout_seconds: float = 30.0) -> Moment:
        what = f"{kind} {status} ({reason})"
        return self.wait(
            lambda moment: moment.condition(kind) == (status, reason), what, timeout_seconds=timeout_seconds
        )

    def wait_syncs(self, count: int) -> Moment:
        """Until the controller has decided that often again, whatever it decided."""
        before = self.now.syncs
        return self.wait(
            lambda moment: moment.syncs >= before + count,
            f"synced {count} times",
            timeout_seconds=count * SYNC_TIMEOUT_SECONDS,
        )

    def holds(self, replicas: int, *, syncs: int = 3) -> None:
        """The target keeps this many replicas for so many further decisions. Raises AssertionError with the table."""
        start = len(self.timeline)
        assert self.now.replicas == replicas, f"{self.name}: not at {replicas} replicas\n{self.table()}"
        self.wait_syncs(syncs)
        others = {moment.replicas for moment in self.timeline[start:]} - {replicas}
        assert not others, f"{self.name}: went to {others}, must hold {replicas}\n{self.table()}"

    def table(self) -> str:
        """The timeline for people: one line for each change."""
        rows = [("seconds", "replicas", "ready", "pods", "desired", "proposed", "metrics", "conditions, event")]
        for one, before in zip(self.timeline, [Moment(), *self.timeline], strict=False):
            pods = " ".join(f"{stage}:{count}" for stage, count in sorted(one.pods.items()))
            metrics = " ".join(f"{name}={value}" for name, value in one.metrics.items())
            changed = {kind: now for kind, now in one.conditions.items() if before.conditions.get(kind) != now}
            said = [f"{kind}={status}/{reason}" for kind, (status, reason) in changed.items()]
            said += [one.event] if one.event else []
            at = f"{one.at_seconds:.1f}"
            proposed = "" if one.proposed is None else f"{one.proposed} (#{one.syncs})"
            proposed += f" failed: {one.failed_syncs}" if one.failed_syncs else ""
            desired = "" if one.desired is None else str(one.desired)
            rows.append((at, str(one.replicas), str(one.ready), pods, desired, proposed, metrics, "; ".join(said)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)

    def close(self) -> None:
        for watch in self._watches:
            watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hpa_changed(self, _: str, hpa: Object) -> None:
        status = hpa.get("status", {})
        with self._lock:
            self.messages = {one["type"]: one["message"] for one in status.get("conditions", ())}
            self._add(
                desired=status.get("desiredReplicas"),
                metrics=dict(_current(status)),
                conditions={one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())},
            )

    def _target_changed(self, change: str, target: Object) -> None:
        with self._lock:
            if change != "DELETED":
                self._add(replicas=target["spec"]["replicas"], ready=target.get("status", {}).get("readyReplicas", 0))

    def _pod_changed(self, change: str, pod: Object) -> None:
        with self._lock:
            if change == "DELETED":
                self._pods.pop(pod["metadata"]["uid"], None)
            else:
                self._pods[pod["metadata"]["uid"]] = PodView.of(pod)
            self._add(pods=dict(Counter(one.stage for one in self._pods.values())))

    def _event(self, change: str, event: Object) -> None:
        with self._lock:
            if change != "DELETED":
                self._add(event=f"{event['reason']}: {event['message']}")

    def _add(self, **changes: Any) -> None:
        """Another moment, unless nothing differs. The caller holds the lock."""
        last = self.timeline[-1]
        moment = replace(last, at_seconds=last.at_seconds, **{"event": "", **changes})
        if moment != replace(last, event=""):
            self.timeline.append(replace(moment, at_seconds=time.monotonic() - self._started))


class _SyncLog:
    """Counts the decisions about one target in the controller manager's log, from now on."""

    def __init__(self, log: Path, target: str) -> None:
        """target: as in Deployment/NAMESPACE/NAME."""
        self._log, self._target = log, target
        self._offset = log.stat().st_size
        self._rest = b""
        self._syncs = self._failed = 0
        self._proposed: int | None = None

    def read(self) -> tuple[int, int | None, int]:
        """How many there were, the last one's replicas, and how many syncs came to none."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            if (found := _PROPOSAL.search(text)) and found[2] == self._target:
                self._syncs += 1
                self._proposed = int(found[1])
            elif (failed := _FAILURE.search(text)) and failed[1] == self._target:
                self._failed += 1
        return self._syncs, self._proposed, self._failed


def number(quantity: str) -> float:
    """Of a Kubernetes quantity as an HPA's status has it: "17", "8500m", "12k"."""
    factors = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}
    return float(quantity[:-1]) * factors[quantity[-1]] if quantity[-1] in factors else float(quantity)


def _current(status: Object) -> Iterator[tuple[str, str]]:
    """status.currentMetrics as name and value; an entry without a value, which an HPA may have, is left out."""
    for one in status.get("currentMetrics") or ():
        kind: str = one.get("type", "")
        body = one.get(kind[:1].lower() + kind[1:])
        if not body:
            continue
        current = body["current"]
        value = current.get("averageUtilization", current.get("averageValue", current.get("value")))
        yield body.get("name") or body["metric"]["name"], str(value)


def _named(name: str) -> str:
    return f"fieldSelector=metadata.name%3D{name}"


def _about_hpa(name: str) -> str:
    return f"fieldSelector=involvedObject.kind%3DHorizontalPodAutoscaler,involvedObject.name%3D{name}"
