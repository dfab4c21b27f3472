"""When a model of the predictive HPA runs, and what it remembers.

Source: jthomperoo/predictive-horizontal-pod-autoscaler internal/controllers/controller.go (processModels,
nextInterval), commit f3c216e8.
"""

from dataclasses import dataclass, replace

from policies.baselines.phpa_models import (
    History,
    ModelFailed,
    Observed,
    enough_for_holt_winters,
    holt_winters_forecast,
    linear_forecast,
    newest,
    whole_seasons,
)
from policies.baselines.phpa_spec import HoltWintersSpec, LinearSpec, PhpaSpec
from policies.snapshot import NS_PER_SECOND

_YEAR_ONE_SECONDS = 62_135_596_800
"""From Go's zero time, 1 January of the year 1, to the Unix epoch: intervals are counted from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """syncs_passed: 1 right after a forecast. start_ns: when history may begin, None until that is set."""

    history: History = ()
    syncs_passed: int = 1
    start_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """replicas: None where the model did not run or failed; note: which of them, in words."""

    replicas: int | None
    note: str = ""


def process_model(spec: PhpaSpec, state: ModelState, replicas: int, now_ns: int) -> tuple[Forecast, ModelState]:
    """Remember the HPA's count and forecast from all of them; a failure forgets the count again."""
    if spec.start_interval_seconds is not None:
        if state.start_ns is None:
            return _waits(replace(state, start_ns=next_interval(now_ns, spec.start_interval_seconds)))
        if now_ns < state.start_ns:
            return _waits(state)
    if _is_stale(spec, state, now_ns):
        state = replace(state, history=())
        if spec.start_interval_seconds is not None:
            return _waits(replace(state, start_ns=next_interval(now_ns, spec.start_interval_seconds)))
    history = (*state.history, Observed(now_ns, replicas))
    if state.syncs_passed < spec.per_sync_period:
        kept = replace(state, history=_pruned(spec, history), syncs_passed=state.syncs_passed + 1)
        return Forecast(replicas=None, note="no forecast this sync"), kept
    try:
        forecast = _forecast(spec, history, now_ns)
    except ModelFailed as error:
        return Forecast(replicas=None, note=f"no forecast: {error}"), state
    return forecast, replace(state, history=_pruned(spec, history), syncs_passed=1)


def next_interval(now_ns: int, seconds: int) -> int:
    """The nearest multiple of the interval since the year 1 that is not before now."""
    interval_ns = seconds * NS_PER_SECOND
    since_year_one_ns = now_ns + _YEAR_ONE_SECONDS * NS_PER_SECOND
    return -(-since_year_one_ns // interval_ns) * interval_ns - _YEAR_ONE_SECONDS * NS_PER_SECOND


def _is_stale(spec: PhpaSpec, state: ModelState, now_ns: int) -> bool:
    """Too long without data: what was learned belongs to another time."""
    if spec.reset_duration_seconds is None or not state.history:
        return False
    return now_ns - state.history[-1].at_ns > spec.reset_duration_seconds * NS_PER_SECOND


def _waits(state: ModelState) -> tuple[Forecast, ModelState]:
    return Forecast(replicas=None, note="history has not begun"), state


def _forecast(spec: PhpaSpec, history: History, now_ns: int) -> Forecast:
    if isinstance(spec, LinearSpec):
        return Forecast(replicas=linear_forecast(history, now_ns + spec.look_ahead_milliseconds * 1_000_000))
    assert isinstance(spec, HoltWintersSpec), "there are two models"
    if not enough_for_holt_winters(history, spec.seasonal_periods):
        return Forecast(replicas=0, note=f"{len(history)} syncs are too few")
    replicas = holt_winters_forecast(
        history,
        alpha=spec.alpha,
        beta=spec.beta,
        gamma=spec.gamma,
        trend=spec.trend,
        seasonal=spec.seasonal,
        seasonal_periods=spec.seasonal_periods,
        damped_trend=spec.damped_trend,
    )
    return Forecast(replicas=replicas)


def _pruned(spec: PhpaSpec, history: History) -> History:
    if isinstance(spec, LinearSpec):
        return newest(history, spec.history_size)
    assert isinstance(spec, HoltWintersSpec), "there are two models"
    return whole_seasons(history, spec.seasonal_periods, spec.stored_seasons)
