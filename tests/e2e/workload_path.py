"""How many replicas workloads were asked to have and had, moment by moment, beside a demand that changes."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from kube_api import Api, Object

POLL_SECONDS = 0.5


class At(NamedTuple):
    """seconds: since the epoch. asked: spec.replicas. there: pods that were created. ready: of these."""

    seconds: float
    asked: int
    there: int
    ready: int


@dataclass(frozen=True, slots=True)
class Path:
    """Of one workload; oldest first."""

    moments: tuple[At, ...]

    def asked_for(self, replicas: int) -> float:
        """When it was first asked to have so many, seconds since the epoch; infinity for never."""
        return next((at.seconds for at in self.moments if at.asked >= replicas), float("inf"))

    def served_by(self, replicas: int) -> float:
        """When it first had so many Ready; infinity for never."""
        return next((at.seconds for at in self.moments if at.ready >= replicas), float("inf"))

    @property
    def counts(self) -> list[int]:
        """What it was asked to have, one after the other."""
        asked = [at.asked for at in self.moments]
        return asked[:1] + [now for before, now in pairwise(asked) if now != before]

    def short_of(self, demand: Callable[[float], float], per_replica: float) -> float:
        """Requests that came beyond what its Ready replicas serve. demand: requests/s at a time; per_replica: of one
        replica."""
        return sum(
            max(0.0, demand(at.seconds) - at.ready * per_replica) * (after.seconds - at.seconds)
            for at, after in pairwise(self.moments)
        )

    def table(self, start: float) -> str:
        """Its changes. start: seconds since the epoch."""
        rows, before = ["seconds  asked  there  ready"], None
        for at in self.moments:
            if at[1:] != before:
                rows.append(f"{at.seconds - start:7.1f}  {at.asked:5d}  {at.there:5d}  {at.ready:5d}")
                before = at[1:]
        return "\n".join(rows)


def recorded(api: Api, namespace: str, names: Iterable[str], *, until: float) -> dict[str, Path]:
    """By name, all Deployments and StatefulSets of these names, from now on until a time (seconds since the epoch)."""
    seen: dict[str, list[At]] = {name: [] for name in names}
    while (now := time.time()) < until:
        for item in _workloads(api, namespace):
            name, status = item["metadata"]["name"], item.get("status", {})
            if name in seen:
                counts = (item["spec"]["replicas"], status.get("replicas", 0), status.get("readyReplicas", 0))
                seen[name].append(At(now, *counts))
        time.sleep(POLL_SECONDS)
    return {name: Path(tuple(moments)) for name, moments in seen.items()}


def _workloads(api: Api, namespace: str) -> list[Object]:
    path = f"/apis/apps/v1/namespaces/{namespace}"
    return [item for kind in ("deployments", "statefulsets") for item in api.get(f"{path}/{kind}")["items"]]
