"""The answer of a policy: a replica count, the reason, and the numbers that led there."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many replicas should be asked for now.

    reason: one CamelCase word; the HPA's own where it fits (`ReadyForNewScale`, `ScaleDownStabilized`,
        `TooManyReplicas`, `FailedGetPodsMetric`).
    message: one readable sentence that gives the reason with its numbers.
    numbers: the inputs and intermediate results, name with unit -> value, for logs, plots and replays.
    """

    desired_replicas: int
    reason: str
    message: str
    numbers: Mapping[str, float] = field(default_factory=dict)
