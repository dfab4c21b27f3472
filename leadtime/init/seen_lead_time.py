"""How long the pods that run now took from creation to Ready. Pure."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leadtime.pod_template import conditions_of

Json = Mapping[str, Any]

_RANGE_SECONDS = (1.0, 7200.0)
"""As spec.leadTime.assumedSeconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLeadTime:
    """median_seconds over so many pods."""

    median_seconds: float
    pods: int


def seen_lead_time(pods: Iterable[Json]) -> SeenLeadTime | None:
    """Of pods that never restarted: the Ready condition of another one tells when it came back. None without any.

    A pod that was unready for a while looks late, hence the median.
    """
    spans = [span for pod in pods if (span := _span(pod)) is not None]
    if not spans:
        return None
    return SeenLeadTime(median_seconds=round(statistics.median(spans)), pods=len(spans))


def _span(pod: Json) -> float | None:
    status = pod.get("status") or {}
    if any(each.get("restartCount") for each in status.get("containerStatuses") or ()):
        return None
    created = (pod.get("metadata") or {}).get("creationTimestamp")
    ready = next((each for kind, each in conditions_of(pod) if kind == "Ready" and each.get("status") == "True"), None)
    if created is None or ready is None or ready.get("lastTransitionTime") is None:
        return None
    try:
        span = datetime.fromisoformat(ready["lastTransitionTime"]) - datetime.fromisoformat(created)
    except (ValueError, TypeError):
        return None
    seconds = span.total_seconds()
    return seconds if _RANGE_SECONDS[0] <= seconds <= _RANGE_SECONDS[1] else None
