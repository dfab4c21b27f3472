"""What a PredictiveHorizontalPodAutoscaler with one metric and one model states.

Source: jthomperoo/predictive-horizontal-pod-autoscaler api/v1alpha1/predictivehorizontalpodautoscaler_types.go,
internal/controllers/controller.go (commit f3c216e8, defaults), examples/simple-linear and examples/simple-holt-winters
for what upstream has no default for.
"""

from dataclasses import dataclass
from typing import Literal

from policies.entry import parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class PhpaSpec:
    """What both models share; the defaults are upstream's."""

    target_requests: float = parameter("requests per replica", "averageValue of the total demand", 16.0)
    min_replicas: int = parameter("replicas", "minReplicas", 1)
    max_replicas: int = parameter("replicas", "maxReplicas", 20)
    tolerance: float = parameter("fraction", "tolerance of the HPA's formula", 0.1)
    decision_type: Literal["maximum", "minimum", "mean", "median"] = parameter(
        "name", "decisionType: how recommendation and forecast become one count", "maximum"
    )
    per_sync_period: int = parameter("syncs", "perSyncPeriod: forecast only every so often", 1)
    start_interval_seconds: int | None = parameter("s", "startInterval: history begins at a multiple of it", None)
    reset_duration_seconds: int | None = parameter("s", "resetDuration: older than this, history is dropped", None)
    scale_up_window_seconds: int = parameter("s", "behavior.scaleUp.stabilizationWindowSeconds", 0)
    scale_down_window_seconds: int = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSpec(PhpaSpec):
    """A line; the defaults of history and look-ahead are those of examples/simple-linear."""

    look_ahead_milliseconds: int = parameter("ms", "lookAhead", 10_000)
    history_size: int = parameter("syncs", "historySize", 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoltWintersSpec(PhpaSpec):
    """Holt-Winters; the defaults are those of examples/simple-holt-winters."""

    alpha: float = parameter("share", "smoothing of the level", 0.9)
    beta: float = parameter("share", "smoothing of the trend", 0.9)
    gamma: float = parameter("share", "smoothing of the season", 0.9)
    trend: Literal["add", "mul"] = parameter("name", "additive or multiplicative trend", "add")
    seasonal: Literal["add", "mul"] = parameter("name", "additive or multiplicative season", "add")
    seasonal_periods: int = parameter("syncs", "seasonalPeriods: length of a season", 6)
    stored_seasons: int = parameter("seasons", "storedSeasons", 4)
    damped_trend: bool = parameter("true/false", "dampedTrend", False)
