"""A stretch of the HPA controller's work, as its own metrics, its log and the HPAs themselves tell of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from controller_metrics import (
    COMPUTATION_SECONDS,
    COMPUTATIONS,
    HPA_QUEUE,
    QUEUE_SECONDS,
    SYNC_SECONDS,
    SYNCS,
    ControllerMetrics,
)
from hpa_fleet import HpaFleet
from scenario import World
from sync_log import Sync, SyncLog, longest_gap_seconds

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen in a window. Times in seconds; (median, 99th percentile), of the metric's age also the highest.

    failed_syncs, failed_computations: by the controller's counters, whatever the kind of error; failures: what the API
    server was told. per_hpa: fewest and most syncs of one HPA. queued_mean: between being due and being begun.
    """

    seconds: float
    syncs: int
    scale_ups: int
    scale_downs: int
    failed_syncs: int
    failed_computations: int
    failures: tuple[str, ...]
    per_hpa: tuple[int, int]
    longest_gap: float
    queued_mean: float
    sync: tuple[float, float]
    computation: Mapping[str, tuple[float, float]]
    metric_age: tuple[float, float, float]

    @property
    def clean(self) -> bool:
        """Nothing failed, by any account."""
        return not (self.failed_syncs or self.failed_computations or self.failures)

    def table(self) -> str:
        """For people."""
        ms = "{:.0f} ms, {:.0f} ms".format
        rows = [
            ("syncs", f"{self.syncs} in {self.seconds:.0f} s: {self.syncs / self.seconds:.1f}/s"),
            ("failed", f"{self.failed_syncs}"),
            ("scaled up, down", f"{self.scale_ups}, {self.scale_downs} times"),
            ("syncs of one HPA", f"{self.per_hpa[0]} to {self.per_hpa[1]}; at most {self.longest_gap:.1f} s apart"),
            ("a sync, p50 and p99", ms(*(1000 * one for one in self.sync))),
            *[
                (f"a metric of type {kind}", ms(*(1000 * one for one in both)))
                for kind, both in self.computation.items()
            ],
            ("waiting for a worker, on average", f"{1000 * self.queued_mean:.0f} ms"),
            ("age of the values, p50, p99, highest", "{:.1f} s, {:.1f} s, {:.1f} s".format(*self.metric_age)),
        ]
        return "\n".join(f"{name:<38}{text}" for name, text in rows)


class SyncWindow:
    """From its making on."""

    def __init__(self, world: World, fleet: HpaFleet) -> None:
        self._plane, self._fleet = world.plane, fleet
        self._log = SyncLog(self._plane.folder / "kube-controller-manager.log")
        self._told_before = len(fleet.hpas.failures)
        self._before = ControllerMetrics.read(self._plane)
        self._syncs: dict[str, list[Sync]] = {}  # by target, decisions only

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._before.seconds

    @property
    def fewest_syncs(self) -> int:
        """Of any HPA of the fleet: those that came to a decision."""
        seen = self._seen()
        return min(len(seen.get(f"Deployment/{one.namespace}/{one.name}", ())) for one in self._fleet.workloads)

    def wait_syncs(self, count: int, *, timeout_seconds: float) -> None:
        """Until every HPA has decided that often again."""
        wanted, deadline = self.fewest_syncs + count, time.monotonic() + timeout_seconds
        while (seen := self.fewest_syncs) < wanted:
            assert time.monotonic() < deadline, f"an HPA has {seen} syncs after {self.seconds:.0f} s, not {wanted}"
            time.sleep(POLL_SECONDS)

    def figures(self) -> Figures:
        """Until now."""
        grown = ControllerMetrics.read(self._plane).since(self._before)
        seen = self._seen().values()
        ages = sorted(sync.age_seconds for syncs in seen for sync in syncs)
        ok = {"error": "none"}
        return Figures(
            seconds=grown.seconds,
            syncs=round(grown.total(SYNCS)),
            scale_ups=round(grown.total(SYNCS, action="scale_up", **ok)),
            scale_downs=round(grown.total(SYNCS, action="scale_down", **ok)),
            failed_syncs=round(grown.total(SYNCS) - grown.total(SYNCS, **ok)),
            failed_computations=round(grown.total(COMPUTATIONS) - grown.total(COMPUTATIONS, **ok)),
            failures=tuple(self._fleet.hpas.failures[self._told_before :]),
            per_hpa=(min(map(len, seen)), max(map(len, seen))),
            longest_gap=max(map(longest_gap_seconds, seen)),
            queued_mean=grown.mean(QUEUE_SECONDS, name=HPA_QUEUE),
            sync=(grown.quantile(SYNC_SECONDS, 0.5), grown.quantile(SYNC_SECONDS, 0.99)),
            computation={
                kind: (
                    grown.quantile(COMPUTATION_SECONDS, 0.5, metric_type=kind),
                    grown.quantile(COMPUTATION_SECONDS, 0.99, metric_type=kind),
                )
                for kind in ("Pods", "External")
            },
            metric_age=(ages[len(ages) // 2], ages[len(ages) * 99 // 100], ages[-1]),
        )

    def _seen(self) -> dict[str, list[Sync]]:
        for sync in self._log.read():
            self._syncs.setdefault(sync.target, []).append(sync)
        return self._syncs
