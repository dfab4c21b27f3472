"""What kube-controller-manager counts about its own work: its /metrics page, read twice and compared.

Names and labels: kubernetes v1.36.3 pkg/controller/podautoscaler/monitor/metrics.go; component-base
metrics/prometheus/workqueue/metrics.go. The HPA controller's queue is called "horizontalpodautoscaler" (horizontal.go).
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from control_plane import ControlPlane
from kube_api import Api
from prometheus_client.parser import text_string_to_metric_families

SYNCS = "horizontal_pod_autoscaler_controller_reconciliations_total"
SYNC_SECONDS = "horizontal_pod_autoscaler_controller_reconciliation_duration_seconds"
COMPUTATIONS = "horizontal_pod_autoscaler_controller_metric_computation_total"
COMPUTATION_SECONDS = "horizontal_pod_autoscaler_controller_metric_computation_duration_seconds"
QUEUE_SECONDS = "workqueue_queue_duration_seconds"
HPA_QUEUE = "horizontalpodautoscaler"

_OURS = (SYNCS, SYNC_SECONDS, COMPUTATIONS, COMPUTATION_SECONDS, QUEUE_SECONDS)

Series = tuple[str, frozenset[tuple[str, str]]]
"""A sample's name and its labels."""


@dataclass(frozen=True, slots=True)
class ControllerMetrics:
    """Counters and histograms at one moment, or what they grew by between two.

    seconds: of the monotonic clock; of a difference, how long it was.
    """

    seconds: float
    samples: Mapping[Series, float]

    @classmethod
    def read(cls, plane: ControlPlane) -> Self:
        """As they are now. The page is open to all (components.py)."""
        url = f"https://127.0.0.1:{plane.ports['kube-controller-manager']}"
        now = time.monotonic()
        page = Api(url, plane.certificates.ca.certificate).send("GET", "/metrics").body.decode()
        return cls(now, parse(page))

    def since(self, earlier: Self) -> "ControllerMetrics":
        """What has been added."""
        grown = {series: value - earlier.samples.get(series, 0.0) for series, value in self.samples.items()}
        return ControllerMetrics(self.seconds - earlier.seconds, grown)

    def total(self, name: str, /, **labels: str) -> float:
        """The sum over all series of this name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (one, theirs), value in self.samples.items() if one == name and wanted <= theirs)

    def mean(self, histogram: str, /, **labels: str) -> float:
        """Exact. NaN where nothing was observed."""
        count = self.total(f"{histogram}_count", **labels)
        return self.total(f"{histogram}_sum", **labels) / count if count else math.nan

    def quantile(self, histogram: str, quantile: float, /, **labels: str) -> float:
        """As PromQL's histogram_quantile: linear within a bucket. NaN where nothing was observed.

        It is as exact as the buckets are wide: the HPA controller's double (1 ms, 2 ms ...), the queue's grow tenfold.
        Beyond the last bucket it is that one's bound.
        """
        wanted = set(labels.items())
        below: dict[float, float] = {}
        for (name, theirs), value in self.samples.items():
            if name == f"{histogram}_bucket" and wanted <= theirs:
                bound = float(dict(theirs)["le"])
                below[bound] = below.get(bound, 0.0) + value
        rank = quantile * below.get(math.inf, 0.0)
        if not rank:
            return math.nan
        lower, under = 0.0, 0.0
        for bound, count in sorted(below.items()):
            if count >= rank:
                return lower if math.isinf(bound) else lower + (bound - lower) * (rank - under) / (count - under)
            lower, under = bound, count
        raise AssertionError("the last bucket holds all")


def parse(page: str) -> dict[Series, float]:
    """The samples of a page that this module names."""
    lines = [line for line in page.splitlines() if line.startswith(_OURS)]
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families("\n".join(lines) + "\n")
        for sample in family.samples
    }
