"""When a status is worth a write, and the write itself: most steps change nothing that anybody would look at."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from adapter.sources.kubernetes.api import Json
from autoscaler.act.writer import Writer
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.explain.status import status_of
from autoscaler.outcome import Outcome
from policies.snapshot import NS_PER_SECOND

_SEEN_AT_ONCE = (
    "observedGeneration",
    "mode",
    "paused",
    "currentReplicas",
    "readyReplicas",
    "startingReplicas",
    "pendingReplicas",
    "desiredReplicas",
    "reason",
    "lastScaleTime",
)
_BAND = frozenset({"lowerRequestsPerSecond", "medianRequestsPerSecond", "upperRequestsPerSecond", "coveredShare"})
"""Of `forecast`: made anew each minute, so it goes along with writes that are due for something else."""
_MOVED_SHARE = 0.05
_MOVED_SECONDS = 60.0
"""Between two writes for numbers alone. Measured demand moves by more than 5 % at nearly every step."""
_REFRESH_SECONDS = 300.0


def due(before: Mapping[str, Any], after: Mapping[str, Any], now_ns: int) -> bool:
    """Whether people would want to see it: at once where a count, a condition or a reason changed; a minute after the
    last write where a number moved by more than 5 %, those of the band left aside; after 5 minutes where anything
    changed, so that it is seen alive.
    """
    if any(before.get(name) != after.get(name) for name in _SEEN_AT_ONCE):
        return True
    if _judgements(before) != _judgements(after) or _pools(before) != _pools(after):
        return True
    age_seconds = _age_seconds(before.get("lastDecisionTime"), now_ns)
    if age_seconds >= _MOVED_SECONDS and any(
        _moved(before.get(section), after.get(section)) for section in ("demand", "forecast", "capacity", "hourlyCost")
    ):
        return True
    return age_seconds >= _REFRESH_SECONDS and _without_time(before) != _without_time(after)


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """The JSON merge patch (RFC 7386) that makes `after` of `before`: null for what is gone, lists whole."""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        was = before.get(name)
        if isinstance(value, Mapping) and isinstance(was, Mapping):
            if inner := merge_patch(was, value):
                patch[name] = inner
        elif value != was:
            patch[name] = value
    return patch


class StatusWrites:
    """Keeps the status of all objects current. The watch tells a write only later, so the last one is remembered."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._written: dict[Key, tuple[str, Json]] = {}

    async def report(self, autoscaler: Autoscaler, outcome: Outcome) -> bool:
        """Write the status where it is due; whether it was. Raises NotLeader, ApiError; the next step tries again."""
        uid, before = self._written.get(autoscaler.key, ("", {}))
        if uid != autoscaler.uid:
            before = dict(autoscaler.status)
        cost = None if autoscaler.spec is None else autoscaler.spec.cost
        after = status_of(outcome, before, cost)
        if not due(before, after, outcome.at_ns):
            return False
        self._written.pop(autoscaler.key, None)  # of a write that fails nobody knows whether it came through
        await self._writer.merge(status_path(autoscaler.key), {"status": merge_patch(before, after)}, kind="status")
        self._written[autoscaler.key] = (autoscaler.uid, after)
        return True

    def forget(self, key: Key) -> None:
        self._written.pop(key, None)


def status_path(key: Key) -> str:
    group = "/apis/autoscaling.leadtime.dev/v1alpha1"
    return f"{group}/namespaces/{key.namespace}/predictiveautoscalers/{key.name}/status"


def _judgements(status: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    return {(each["type"], each["status"], each["reason"]) for each in status.get("conditions") or ()}


def _pools(status: Mapping[str, Any]) -> list[Json]:
    return [{**pool, "message": ""} for pool in status.get("nodePools") or ()]


def _moved(before: Any, after: Any) -> bool:
    if isinstance(before, Mapping) or isinstance(after, Mapping):
        before, after = before or {}, after or {}
        names = after.keys() - _BAND
        return before.keys() - _BAND != names or any(_moved(before[name], after[name]) for name in names)
    if before is None or after is None:
        return before is not after
    return bool(abs(after - before) > _MOVED_SHARE * max(abs(before), abs(after)))


def _age_seconds(time: str | None, now_ns: int) -> float:
    if time is None:
        return _REFRESH_SECONDS
    return now_ns / NS_PER_SECOND - datetime.fromisoformat(time).timestamp()


def _without_time(status: Mapping[str, Any]) -> Json:
    return {name: value for name, value in status.items() if name != "lastDecisionTime"}
