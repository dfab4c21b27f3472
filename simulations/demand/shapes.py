"""Rates over time of generated demand, each a curve through a few points."""

import math

import numpy as np

from policies.errors import BadInput
from simulations.demand.rate_curve import RateCurve

DAY_SECONDS = 86_400.0
_DIURNAL_STEP_SECONDS = 300.0
_WEEKEND_TURN_SECONDS = 3 * 3_600.0
MAX_RPS = 1e6


def constant(rps: float, seconds: float) -> RateCurve:
    return ramp(rps, rps, seconds)


def ramp(from_rps: float, to_rps: float, seconds: float) -> RateCurve:
    """From one rate to the other, evenly over all the time."""
    _check("rate", from_rps, 0, MAX_RPS)
    _check("to_rate", to_rps, 0, MAX_RPS)
    return RateCurve.through([(0.0, from_rps), (seconds, to_rps)])


def flash_crowd(
    base_rps: float,
    peak_rps: float,
    *,
    at_seconds: float,
    rise_seconds: float,
    hold_seconds: float,
    decay_seconds: float,
    seconds: float,
) -> RateCurve:
    """Up from the base at `at_seconds`, held at the peak, and down again; each leg is linear, and 0 s is a step."""
    _check("rate", base_rps, 0, MAX_RPS)
    _check("peak_rate", peak_rps, 0, MAX_RPS)
    _check("at_minutes", at_seconds / 60.0, 0, seconds / 60.0)
    for field, value in (("rise", rise_seconds), ("hold", hold_seconds), ("decay", decay_seconds)):
        _check(f"{field}_seconds", value, 0, 1e9)
    legs = np.cumsum([at_seconds, rise_seconds, hold_seconds, decay_seconds])
    times = np.array([0.0, *legs, max(seconds, legs[-1])])
    return _until(RateCurve(times, np.array([base_rps, base_rps, peak_rps, peak_rps, base_rps, base_rps])), seconds)


def diurnal(
    mean_rps: float, *, amplitude: float, peak_hour: float, weekend_factor: float, seconds: float, first_weekday: int
) -> RateCurve:
    """A cosine over the day, 1 + amplitude at `peak_hour` (UTC) and 1 - amplitude half a day later, times the mean.

    On Saturday and Sunday it is `weekend_factor` times as much; the change takes 3 h on either side of midnight.
    first_weekday: of second zero, which is a midnight; 0 is Monday. Linear between points 5 minutes apart, which is
    within (2 pi x 300 / 86,400)^2 / 8 = 0.006 % of the mean.
    """
    _check("rate", mean_rps, 0, MAX_RPS)
    _check("amplitude", amplitude, 0, 1)
    _check("peak_hour", peak_hour, 0, 24)
    _check("weekend_factor", weekend_factor, 0, 100)
    times = np.append(np.arange(0.0, seconds, _DIURNAL_STEP_SECONDS), seconds)
    day = 1.0 + amplitude * np.cos(2.0 * math.pi * (times / DAY_SECONDS - peak_hour / 24.0))
    turn = _WEEKEND_TURN_SECONDS / DAY_SECONDS
    # Monday's midnight is 0 and 7: the weekend begins at 5.
    corners = [0.0, turn, 5.0 - turn, 5.0 + turn, 7.0 - turn, 7.0]
    half = (1.0 + weekend_factor) / 2.0
    week = np.interp(
        (times / DAY_SECONDS + first_weekday) % 7.0, corners, [half, 1.0, 1.0, weekend_factor, weekend_factor, half]
    )
    return RateCurve(times, mean_rps * day * week)


def _until(curve: RateCurve, seconds: float) -> RateCurve:
    """The curve cut at `seconds`, which lies within it."""
    kept = curve.seconds < seconds
    return RateCurve(np.append(curve.seconds[kept], seconds), np.append(curve.rps[kept], curve.at(np.array([seconds]))))


def _check(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(f"{field}: was {value:g}, must be in [{low:g}, {high:g}]")
