"""What a source finds: values of a metric, each at an instant, each of a pod or of no pod."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

NS_PER_SECOND = 1_000_000_000
NO_LABELS: Mapping[str, str] = MappingProxyType({})


class PodKey(NamedTuple):
    """A pod's name within the cluster."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Series:
    """One series at one instant.

    labels: the exporter's own, or the backend's metric labels, without those that only repeat the pod
        (`pod`, `namespace`, `exported_pod`, `exported_namespace`); the pod's labels are the inventory's.
    value: in the metric's unit; None where there is none, and `why` says the reason in a few words
        ("NaN", "shared GPU: not attributable to one pod", "needs two samples 15 s apart").
    at_ns: when it was true, nanoseconds since the Unix epoch; never later than it was collected, so that a
        clock ahead of ours cannot keep an old value fresh.
    pod: whose it is; None for a series of no pod (an External metric from a backend).
    window_seconds: the span that a rate or quantile looks back over; 0 for an instantaneous value.
    is_quiet: there is no value because nothing happened within a rate's, ratio's or quantile's window, or because
        it has only begun: silence, not a fault.
    resource_labels: the monitored resource's labels and its `type`, as Cloud Monitoring gives them; empty
        elsewhere, where they are worked out from the pod.
    """

    labels: Mapping[str, str]
    value: float | None
    at_ns: int
    pod: PodKey | None = None
    window_seconds: int = 0
    resource_labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    why: str = ""
    is_quiet: bool = False
