"""Load as a test tells it: what the pods of one workload show, series by series.

A series is told as one of
    17                       every pod shows it
    {"pods": [17, 4]}        the oldest pod 17, the next 4, those after 0
    {"shared": 30}           30 in all, in equal parts on the pods that are Ready
    {"perSecond": SERIES}    a counter that grows so fast, from 0 when the pod is first seen Ready
so that a test can change one of them while the others stay.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from exporter_pages import OWN_LABELS, page_text
from pod_view import PodView

Told = float | Mapping[str, Any]


def by_age(*values: float) -> Told:
    """The oldest pod shows the first, and so on; pods beyond show 0."""
    return {"pods": list(values)}


def shared(total: float) -> Told:
    """In equal parts on the pods that are Ready, as a load balancer shares a load."""
    return {"shared": total}


def per_second(rate: Told) -> Told:
    """A counter that grows at this rate."""
    return {"perSecond": rate}


class ScriptedLoad:
    """Follows the pods of one workload. Counters of pods that are gone are forgotten."""

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._ready: Sequence[PodView] = ()
        self._counters: dict[str, dict[str, float]] = {}  # pod -> series -> value
        self._last_seconds: float | None = None

    def tell(self, series: Mapping[str, Told]) -> None:
        """Change these; what was told of others stays."""
        self._told.update(series)

    def follow(self, pods: Sequence[PodView], now_seconds: float) -> None:
        """pods: of this workload, the oldest first."""
        elapsed = 0.0 if self._last_seconds is None else now_seconds - self._last_seconds
        self._last_seconds = now_seconds
        self._ready = [pod for pod in pods if pod.stage == "Ready"]
        self._counters = {pod.name: self._counters.get(pod.name, {}) for pod in self._ready}
        for name, told in self._told.items():
            if isinstance(told, Mapping) and "perSecond" in told:
                for pod in self._ready:
                    counted = self._counters[pod.name]
                    counted[name] = counted.get(name, 0.0) + elapsed * self._value(told["perSecond"], pod)

    def page(self, system: str, pod: PodView) -> str | None:
        """The pod's own page; None while its server does not answer."""
        if not self._serves(pod):
            return None
        labels = OWN_LABELS[system]
        return page_text((name, labels, value) for name, value in self.series(pod).items() if not _of_gpu(name))

    def gpu_series(self, pod: PodView) -> Mapping[str, float]:
        """What DCGM says of its GPU; while the model is loaded, 0."""
        series = self.series(pod) if self._serves(pod) else dict.fromkeys(self._told, 0.0)
        return {name: value for name, value in series.items() if _of_gpu(name)}

    def series(self, pod: PodView) -> Mapping[str, float]:
        """Everything that a Ready pod shows now."""
        counted = self._counters.get(pod.name, {})
        return {
            name: counted.get(name, 0.0) if _counts(told) else self._value(told, pod)
            for name, told in self._told.items()
        }

    def state(self) -> dict[str, Any]:
        """For reports of a test that failed."""
        return {"told": dict(self._told)}

    def _serves(self, pod: PodView) -> bool:
        """Whether it was Ready when the shares were made."""
        return any(one.name == pod.name for one in self._ready)

    def _value(self, told: Told, pod: PodView) -> float:
        match told:
            case {"shared": total}:
                return float(total) / max(1, len(self._ready))
            case {"pods": values}:
                position = next((at for at, one in enumerate(self._ready) if one.name == pod.name), len(values))
                return float(values[position]) if position < len(values) else 0.0
            case int() | float():
                return float(told)
        raise ValueError(f"series: was {told!r}, must be a number, pods, shared or perSecond; correct it")


def _counts(told: Told) -> bool:
    return isinstance(told, Mapping) and "perSecond" in told


def _of_gpu(name: str) -> bool:
    return name.startswith("DCGM_")
