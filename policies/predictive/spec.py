"""What an admin states for leadtime's own rule, and what of it cannot be used."""

from dataclasses import dataclass

from policies.capacity.profile import Profile
from policies.entry import parameter
from policies.errors import BadInput
from policies.hpa import Behavior, default_behavior, scale_down_rules
from policies.hpa.validation import check_behavior


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveSpec:
    """What an admin states; a whole `behavior` is set in code or by a manifest only."""

    profile: Profile = parameter(  # noqa: RUF009 - a field, not a shared value
        "name", "latency profile of model and GPU, which gives a replica's capacity"
    )
    tpot_seconds: float = parameter("s", "the SLO's time per output token")
    ttft_seconds: float = parameter("s", "the SLO's time to the first token", 2.0)
    attainment: float = parameter("share", "of requests that are to meet the SLO", 0.95)
    min_replicas: int = parameter("replicas", "never fewer", 1)
    max_replicas: int = parameter("replicas", "never more", 20)
    lead_time_seconds: float = parameter("s", "assumed until pods were seen to become ready", 240.0)
    drain_seconds: float = parameter("s", "a backlog is to be gone within this time", 60.0)
    scale_down_window_seconds: int = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", 300)
    behavior: Behavior | None = None
    """As in an HPA; it goes before the window. None: the HPA's defaults with that window."""

    @property
    def rules(self) -> Behavior:
        """The behavior in force."""
        window_seconds = self.scale_down_window_seconds
        return self.behavior or default_behavior(
            scale_down=scale_down_rules(stabilization_window_seconds=window_seconds)
        )


def check(spec: PredictiveSpec) -> None:
    """Raise BadInput."""
    for field_name, low, value, high in (
        ("minReplicas", 1, spec.min_replicas, spec.max_replicas),
        ("attainment", 0.5, spec.attainment, 0.9999),
        ("leadTimeSeconds", 1.0, spec.lead_time_seconds, 7_200.0),
        ("drainSeconds", 1.0, spec.drain_seconds, 3_600.0),
        ("ttftSeconds", 0.001, spec.ttft_seconds, 3_600.0),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field_name}: was {value}, must be in [{low}, {high}]")
    check_behavior(spec.rules)
    if spec.tpot_seconds <= spec.profile.base_seconds:
        raise BadInput(
            f"tpotSeconds: was {spec.tpot_seconds}, must be above {spec.profile.base_seconds}, the step time of "
            f"{spec.profile.name} with an empty batch; relax the target or choose a faster GPU"
        )
