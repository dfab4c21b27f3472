"""What a PredictiveAutoscaler remembers between two decisions."""

from dataclasses import dataclass, field

from policies.hpa import HPAState
from policies.predictive.state import PredictiveState


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CombinedState:
    """predictive: of the rule, whose own `scaling` is not used. scaling: windows and events of the whole.

    needed_replicas: what the last known demand took; None until it was known. known_ns: the last decision at which
    demand was known, or the first decision while it never was; None before any.
    """

    predictive: PredictiveState = field(default_factory=PredictiveState)
    scaling: HPAState = field(default_factory=HPAState)
    needed_replicas: int | None = None
    known_ns: int | None = None
