"""A PredictiveAutoscaler as it stands in the cluster, and what its spec says once it was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.cluster import Key
from autoscaler.crd.spec import PredictiveAutoscalerSpec

PAUSED_ANNOTATION = "autoscaling.leadtime.dev/paused"
"""On one object or on the controller's own Lease (the whole cluster): "true" means that nothing is written."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Autoscaler:
    """One object. spec: None where it cannot be used, and then fault says why in one sentence.

    created_ns: metadata.creationTimestamp; of two on one workload the older acts.
    status: as the API server shows it, for what must survive a restart (lastTransitionTime of conditions).
    """

    key: Key
    uid: str
    generation: int
    resource_version: str
    spec: PredictiveAutoscalerSpec | None
    fault: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    created_ns: int = 0
