"""How far usage may stray from its target before the replica count moves.

Source: pkg/controller/podautoscaler, replica_calculator.go (Tolerances) and horizontal.go
(tolerancesForHpa), v1.36.3.
"""

from dataclasses import dataclass

from policies.hpa.spec import HPASpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """Fractions of the target, >= 0: one for usage below it, one for usage above it."""

    scale_down: float
    scale_up: float

    def is_within(self, usage_ratio: float) -> bool:
        """True where usage / target is close enough to hold; a NaN never is."""
        return (1.0 - self.scale_down) <= usage_ratio <= (1.0 + self.scale_up)


def tolerances_for(spec: HPASpec) -> Tolerances:
    """The controller's tolerance in both directions, overridden by behavior.*.tolerance where given.

    With the gate HPAConfigurableTolerance off, the behavior's tolerances are ignored.
    """
    options, behavior = spec.controller, spec.behavior
    scale_down = scale_up = options.tolerance
    if behavior is not None and options.hpa_configurable_tolerance:
        if behavior.scale_down.tolerance is not None:
            scale_down = behavior.scale_down.tolerance.as_approximate_float()
        if behavior.scale_up.tolerance is not None:
            scale_up = behavior.scale_up.tolerance.as_approximate_float()
    return Tolerances(scale_down=scale_down, scale_up=scale_up)
