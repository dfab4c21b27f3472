"""A run by the hour: what arrived in each, how much of it was within the SLO, and its latencies."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from simulations.request_rows import NEVER_SENT
from simulations.results import Result
from simulations.results.intervals import F8, I8, INTERVAL_SECONDS, LEVELS

HOUR_SECONDS = 3_600.0
SHORT_RUN_SECONDS = 3 * HOUR_SECONDS
"""A shorter demand is shown by ten minutes: three bars say little."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Hours:
    """One entry an hour (or other bin) of the demand, by time of arrival; shape (bins,).

    good: of the arrivals, served within the SLO. Latencies are seconds, NaN of nothing: over the bin's requests where
    these were kept (is_exact); else the median minute's median and the worst minute's 99th percentile.
    """

    bin_seconds: float
    start_seconds: F8
    arrivals: I8
    good: I8
    ttft_p50: F8
    ttft_p99: F8
    tpot_p50: F8
    tpot_p99: F8
    is_exact: bool

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def attainment(self) -> F8:
        """Share within the SLO, 0 to 1; NaN where nothing arrived."""
        share: F8 = np.divide(self.good, self.arrivals, out=np.full(len(self), np.nan), where=self.arrivals > 0)
        return share

    def worst(self, count: int = 1) -> list[int]:
        """The bins with most misses, the worst first; those without a miss are left out."""
        missed = self.arrivals - self.good
        order = np.argsort(-missed, kind="stable")[:count]
        return [int(place) for place in order if missed[place] > 0]


def bin_name(bin_seconds: float) -> str:
    return "hour" if bin_seconds == HOUR_SECONDS else f"{bin_seconds / 60:g} minutes"


def bin_seconds_for(duration_seconds: float) -> float:
    return HOUR_SECONDS if duration_seconds >= SHORT_RUN_SECONDS else 600.0


def hours_of(result: Result, bin_seconds: float | None = None) -> Hours:
    """bin_seconds: a multiple of the minutes that results keep; by default chosen by the demand's length."""
    width = bin_seconds_for(result.scenario.trace.duration_seconds) if bin_seconds is None else bin_seconds
    each = round(width / INTERVAL_SECONDS)
    assert each >= 1, "results have no more than minutes"
    assert each * INTERVAL_SECONDS == width, "a bin is a whole number of minutes"
    intervals = result.intervals
    sent = np.flatnonzero(intervals.arrivals)
    minutes = 1 + int(sent[-1]) if len(sent) else 1  # what is only answered there is not judged there
    starts = np.arange(0, minutes, each)
    ttft, tpot = _exact_levels(result, starts, width) if result.kept is not None else _levels_of_minutes(result, starts)
    return Hours(
        bin_seconds=width,
        start_seconds=starts.astype(np.float64) * INTERVAL_SECONDS,
        arrivals=_summed(intervals.arrivals, starts, minutes),
        good=_summed(intervals.good, starts, minutes),
        ttft_p50=ttft[0],
        ttft_p99=ttft[1],
        tpot_p50=tpot[0],
        tpot_p99=tpot[1],
        is_exact=result.kept is not None,
    )


def told(hours: Hours, place: int, start_ns: int) -> str:
    """When a bin was, for people: `7 h to 8 h since the start (Thu 2023-11-16 01:17 UTC)`."""
    begin, end = hours.start_seconds[place], hours.start_seconds[place] + hours.bin_seconds
    unit, seconds = ("h", HOUR_SECONDS) if hours.bin_seconds >= HOUR_SECONDS else ("min", 60.0)
    at = datetime.fromtimestamp(start_ns / 1e9 + begin, UTC).strftime("%a %Y-%m-%d %H:%M")
    return f"{begin / seconds:g} {unit} to {end / seconds:g} {unit} since the start ({at} UTC)"


def _summed(values: I8, starts: I8, minutes: int) -> I8:
    if not len(values):
        return np.zeros(len(starts), np.int64)
    sums: I8 = np.add.reduceat(values[:minutes], starts)
    return sums


def _exact_levels(result: Result, starts: I8, width: float) -> tuple[tuple[F8, F8], tuple[F8, F8]]:
    """((p50, p99) of TTFT, the same of TPOT) over each bin's requests."""
    kept = result.kept
    assert kept is not None, "asked for only where requests were kept"
    sent = kept.rows["outcome"] != NEVER_SENT
    place = (kept.rows["arrival"][sent] // width).astype(np.int64)
    both = []
    for seconds in (kept.ttft_seconds[sent], kept.tpot_seconds[sent]):
        levels = np.full((2, len(starts)), np.nan)
        known = ~np.isnan(seconds)
        order = np.argsort(place[known], kind="stable")
        groups = np.split(seconds[known][order], np.searchsorted(place[known][order], np.arange(1, len(starts))))
        for index, group in enumerate(groups):
            if len(group):
                levels[:, index] = np.quantile(group, (0.50, 0.99))
        both.append((levels[0], levels[1]))
    return both[0], both[1]


def _levels_of_minutes(result: Result, starts: I8) -> tuple[tuple[F8, F8], tuple[F8, F8]]:
    """((median of the minutes' p50, largest p99) of TTFT, the same of TPOT)."""
    each = int(starts[1]) if len(starts) > 1 else len(result.intervals)
    both = []
    for minutes in (result.intervals.ttft, result.intervals.tpot):
        levels = np.full((2, len(starts)), np.nan)
        for index, start in enumerate(starts.tolist()):
            own = minutes[start : start + each]
            for row, level, reduce in ((0, 0.50, np.median), (1, 0.99, np.max)):
                values = own[:, LEVELS.index(level)]
                values = values[~np.isnan(values)]
                if len(values):
                    levels[row, index] = reduce(values)
        both.append((levels[0], levels[1]))
    return both[0], both[1]
