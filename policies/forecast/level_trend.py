"""Demand at a horizon, as a lognormal distribution: the level persists, or its damped trend goes on.

Both experts are smoothed from the samples (Brown's exponential smoothing, time constants in seconds so that
irregular samples are no trouble). Each is judged by its own past: the logarithm of what came over what it had
said one horizon earlier. The better of the two speaks, and its errors give the width. Before errors exist, a
prior width stands in for them.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from policies.snapshot import NS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTrendSpec:
    """level_seconds, trend_seconds: time constants of the smoothing. damping_seconds: a trend fades with it.

    prior_sigma: standard deviation of the log error assumed at first, worth `prior_weight` samples.
    memory_seconds: errors older than this are forgotten.
    floor: the smallest demand worth forecasting (same unit as the samples), so that logarithms exist.
    """

    level_seconds: float = 60.0
    trend_seconds: float = 300.0
    damping_seconds: float = 300.0
    prior_sigma: float = 0.2
    prior_weight: float = 20.0
    memory_seconds: float = 3_600.0
    floor: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothed:
    """Level and slope (per second) after the sample at `at_ns`."""

    at_ns: int
    level: float
    slope: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A lognormal distribution of demand at one horizon."""

    median: float
    sigma: float
    expert: str

    def quantile(self, probability: float) -> float:
        """The demand that is not exceeded with this probability, in (0, 1)."""
        return self.median * math.exp(NormalDist().inv_cdf(probability) * self.sigma)


History = tuple[Smoothed, ...]


def observe(spec: LevelTrendSpec, history: History, at_ns: int, demand: float) -> History:
    """Add one sample. Samples that are not newer than the last are ignored; demand below 0 counts as 0."""
    demand = max(demand, 0.0)
    if not history:
        return (Smoothed(at_ns=at_ns, level=demand, slope=0.0),)
    last = history[-1]
    step_seconds = (at_ns - last.at_ns) / NS_PER_SECOND
    if step_seconds <= 0:
        return history
    level = last.level + (demand - last.level) * _weight(step_seconds, spec.level_seconds)
    slope = last.slope + ((level - last.level) / step_seconds - last.slope) * _weight(step_seconds, spec.trend_seconds)
    oldest_ns = at_ns - int(spec.memory_seconds * NS_PER_SECOND)
    kept = tuple(sample for sample in history if sample.at_ns >= oldest_ns)
    return (*kept, Smoothed(at_ns=at_ns, level=level, slope=slope))


def forecast(spec: LevelTrendSpec, history: History, horizon_seconds: float) -> Forecast:
    """Demand `horizon_seconds` after the last sample. `history` must not be empty."""
    errors = _errors(spec, history, horizon_seconds)
    expert = min(errors, key=lambda name: _mean_square(spec, errors[name]))
    bias = sum(errors[expert]) / (len(errors[expert]) + spec.prior_weight)
    return Forecast(
        median=_predict(spec, history[-1], horizon_seconds)[expert] * math.exp(bias),
        sigma=math.sqrt(max(_mean_square(spec, errors[expert]) - bias * bias, 0.0)),
        expert=expert,
    )


def _predict(spec: LevelTrendSpec, last: Smoothed, horizon_seconds: float) -> dict[str, float]:
    """Each expert's point forecast. The level itself lags a steady trend by its own time constant."""
    reach = spec.damping_seconds * (1.0 - math.exp(-(horizon_seconds + spec.level_seconds) / spec.damping_seconds))
    return {
        "level": max(last.level, spec.floor),
        "trend": max(last.level + last.slope * reach, spec.floor),
    }


def _errors(spec: LevelTrendSpec, history: History, horizon_seconds: float) -> dict[str, list[float]]:
    """Per expert: log(what came / what it had said), for every sample old enough to have been a forecast's aim."""
    horizon_ns = int(horizon_seconds * NS_PER_SECOND)
    errors: dict[str, list[float]] = {"level": [], "trend": []}
    made = 0
    for sample in history:
        while made + 1 < len(history) and history[made + 1].at_ns + horizon_ns <= sample.at_ns:
            made += 1
        if history[made].at_ns + horizon_ns > sample.at_ns:
            continue
        came = max(sample.level, spec.floor)
        for expert, said in _predict(spec, history[made], horizon_seconds).items():
            errors[expert].append(math.log(came / said))
    return errors


def _mean_square(spec: LevelTrendSpec, errors: list[float]) -> float:
    total = spec.prior_weight * spec.prior_sigma**2 + sum(error * error for error in errors)
    return total / (spec.prior_weight + len(errors))


def _weight(step_seconds: float, constant_seconds: float) -> float:
    return 1.0 - math.exp(-step_seconds / constant_seconds)
