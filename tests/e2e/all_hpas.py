"""Every HPA of a cluster at once, by one watch: what it wants, and each sync that failed."""

import threading
from collections.abc import Mapping
from typing import Self

from control_plane import ControlPlane
from kube_api import Object
from kube_watch import KubeWatch

ALL_HPAS = "/apis/autoscaling/v2/horizontalpodautoscalers"
_WARNINGS = "/api/v1/events?fieldSelector=type%3DWarning"
HpaKey = tuple[str, str]
"""Namespace and name."""


class AllHpas:
    """Follows them until close()."""

    def __init__(self, plane: ControlPlane) -> None:
        self._lock = threading.Lock()
        self._hpas: dict[HpaKey, Object] = {}
        self._failures: list[str] = []
        self._watches = [
            KubeWatch(plane.admin, ALL_HPAS, self._hpa_changed),
            KubeWatch(plane.admin, _WARNINGS, self._warned),
        ]
        for watch in self._watches:
            assert watch.synced.wait(30.0), "the API server did not list"

    @property
    def active(self) -> set[HpaKey]:
        """Those whose metrics had values at the last sync."""
        with self._lock:
            return {key for key, hpa in self._hpas.items() if _condition(hpa, "ScalingActive") == "True"}

    @property
    def desired_replicas(self) -> Mapping[HpaKey, int]:
        """As their status says."""
        with self._lock:
            return {key: hpa.get("status", {}).get("desiredReplicas", 0) for key, hpa in self._hpas.items()}

    @property
    def failures(self) -> list[str]:
        """What the API server was told of failed syncs, oldest first: conditions that are not True, and warnings.

        An HPA whose metrics have not come yet is among them.
        """
        with self._lock:
            return list(self._failures)

    def close(self) -> None:
        for watch in self._watches:
            watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hpa_changed(self, change: str, hpa: Object) -> None:
        metadata = hpa["metadata"]
        key = (metadata["namespace"], metadata["name"])
        with self._lock:
            if change == "DELETED":
                self._hpas.pop(key, None)
                return
            self._hpas[key] = hpa
            for one in hpa.get("status", {}).get("conditions", ()):
                if one["type"] in ("ScalingActive", "AbleToScale") and one["status"] != "True":
                    self._failures.append(f"{'/'.join(key)}: {one['type']} {one['reason']}: {one['message']}")

    def _warned(self, change: str, event: Object) -> None:
        about = event["involvedObject"]
        if change != "DELETED" and about["kind"] == "HorizontalPodAutoscaler":
            with self._lock:
                self._failures.append(f"{about['namespace']}/{about['name']}: {event['reason']}: {event['message']}")


def _condition(hpa: Object, kind: str) -> str:
    """Its status: True, False, Unknown; "" if it is not set."""
    conditions = hpa.get("status", {}).get("conditions", ())
    return next((str(one["status"]) for one in conditions if one["type"] == kind), "")
