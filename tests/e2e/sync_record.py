"""One sync of a real HPA controller as a value: what it saw, and what it decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kube_api import Object
from pod_history import Pods

from leadtime.manifests.fields import Fields, Problems
from leadtime.manifests.hpa import spec_fields
from policies.hpa import ControllerOptions, HPASpec
from policies.hpa.milli_value import milli
from policies.snapshot import MetricQuery, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an HPA's status says, as far as it is decided. conditions: type -> (status, reason).

    metrics: status.currentMetrics in milli-units and percent, an entry {} for a metric without a value.
    """

    current_replicas: int = 0
    desired_replicas: int = 0
    conditions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    metrics: tuple[Mapping[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one sync came to.

    proposed: by the metrics, before windows and limits; None if they were not asked or could not tell.
    metric: whose proposal that is. written: into the scale; None if it was left alone, or could not be written.
    status: after this sync, whether or not it was written anew.
    """

    proposed: int | None
    metric: str
    written: int | None
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSync:
    """One sync: what was seen, and `answer`.

    at_ns: when the metrics were judged. rescaled_ns: when the scale was written. replicas, status_replicas: of the
    scale; replicas is None where it could not be read. views: the pods at at_ns, then as they were shortly before and
    after it. lost: why this cannot be replayed, "" if it can.
    """

    at_ns: int
    rescaled_ns: int
    replicas: int | None
    status_replicas: int
    scale_write_failed: bool
    status_write_failed: bool
    observations: Mapping[MetricQuery, Observation]
    views: tuple[Pods, ...]
    answer: Answer
    lost: str = ""

    @property
    def pods(self) -> Pods:
        """As they were at at_ns; none where the scale, and with it the selector, could not be read."""
        return self.views[0] if self.views else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedHpa:
    """One HPA from its first sync. cut_off: 1 if its last sync has no known end, since it is not deleted."""

    namespace: str
    name: str
    spec: HPASpec
    syncs: tuple[RecordedSync, ...]
    cut_off: int


def spec_of(spec: Object, options: ControllerOptions) -> HPASpec:
    """`spec` of an HPA of the API server. Raises BadInput.

    A behavior without a window for scale-down gets the controller's, as the controller itself writes it there.
    """
    problems = Problems(Path("spec"))
    read = spec_fields(Fields(spec, "spec", 0, problems))
    problems.raise_any()
    assert read is not None, "without a problem there is a spec"
    behavior = read.behavior
    if behavior and behavior.scale_down.stabilization_window_seconds is None:
        down = replace(behavior.scale_down, stabilization_window_seconds=options.downscale_stabilization_seconds)
        behavior = replace(behavior, scale_down=down)
    return replace(read, behavior=behavior, controller=options)


def status_of(status: Object) -> Status:
    """`status` of an HPA, without texts and times."""
    return Status(
        current_replicas=status.get("currentReplicas", 0),
        desired_replicas=status.get("desiredReplicas", 0),
        conditions={one["type"]: (one["status"], one["reason"]) for one in status.get("conditions") or ()},
        metrics=tuple(_current(one) for one in status.get("currentMetrics") or ()),
    )


def _current(metric: Object) -> dict[str, int]:
    """An entry of currentMetrics; one without a type is of a metric that failed."""
    kind: str = metric.get("type", "")
    current: Object = metric[kind[:1].lower() + kind[1:]]["current"] if kind else {}
    values = {f"{name}Milli": _milli(current[name]) for name in ("averageValue", "value") if name in current}
    return values | {name: current[name] for name in ("averageUtilization",) if name in current}


def _milli(quantity: str) -> int:
    """Also of the smallest int64, which is what the controller makes of 0 over 0 pods, and no quantity may be."""
    return int(quantity[:-1]) if quantity.endswith("m") else milli(quantity)
