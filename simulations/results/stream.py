"""Requests counted as they pass: bounded memory for any number of them, percentiles within 0.5 %."""

import math

import numpy as np

from simulations.latency_buckets import BUCKETS, quantiles
from simulations.request_rows import OUTCOMES, Rows
from simulations.results import counting
from simulations.results.intervals import F8, INTERVAL_SECONDS, LEVELS, Intervals
from simulations.results.percentiles import Percentiles
from simulations.results.totals import RequestTotals
from simulations.slo import SLO

OPEN_MINUTES = 1_440
"""A minute's percentiles are settled when a request arrives a day after it. 36 MB at most."""


class RequestStream:
    """Implements `Collector`: two histograms of each latency, one of the run and one of each open minute.

    Rows should come in order of arrival. One that is a whole day late (a turn of a very long conversation) counts
    everywhere but in its own minute's percentiles, and in `late_requests`.
    """

    def __init__(self, slo: SLO, open_minutes: int = OPEN_MINUTES) -> None:
        self._limits = (slo.ttft_seconds, slo.tpot_seconds, math.inf if slo.e2e_seconds is None else slo.e2e_seconds)
        self._outcomes = np.zeros(len(OUTCOMES), np.int64)
        self._totals = np.zeros(counting.TOTALS, np.int64)
        self._seconds = np.zeros(3, np.float64)
        self._counts = np.zeros((3, BUCKETS), np.int64)
        self._minutes = np.zeros((0, counting.MINUTES), np.int64)
        self._levels = np.zeros((0, 3, len(LEVELS)), np.float64)
        self._window = np.zeros((open_minutes, 3, BUCKETS), np.int32)
        self._first_open = 0
        self._known_minutes = 0

    @property
    def late_requests(self) -> int:
        return int(self._totals[counting.LATE])

    def add(self, rows: Rows) -> None:
        arrival = rows["arrival"]
        if np.any(arrival[1:] < arrival[:-1]):  # turns that waited for answers stand where their chain began
            rows = rows[np.argsort(arrival, kind="stable")]
        last = max(np.fmax.reduce(arrival, initial=-1.0), np.fmax.reduce(rows["finish"], initial=-1.0))
        self._make_room(1 + int(last // INTERVAL_SECONDS))
        first = 0
        while True:
            first = counting.count_rows(
                rows,
                first,
                self._limits,
                INTERVAL_SECONDS,
                self._outcomes,
                self._totals,
                self._seconds,
                self._counts,
                self._minutes,
                self._window,
                self._first_open,
            )
            if first == len(rows):
                return
            self._close(int(rows["arrival"][first] // INTERVAL_SECONDS) - len(self._window) + 1)

    def totals(self) -> RequestTotals:
        ttft, tpot, e2e = (
            Percentiles.of_counts(counts, seconds / counts.sum() if counts.any() else math.nan)
            for counts, seconds in zip(self._counts, self._seconds.tolist(), strict=True)
        )
        numbers = self._totals.tolist()
        return RequestTotals(
            outcomes=tuple(self._outcomes.tolist()),
            good=numbers[counting.GOOD],
            prompt_tokens=numbers[counting.PROMPT],
            output_tokens=numbers[counting.OUTPUT],
            served_prompt_tokens=numbers[counting.SERVED_PROMPT],
            served_output_tokens=numbers[counting.SERVED_OUTPUT],
            lost_output_tokens=numbers[counting.LOST_OUTPUT],
            cached_tokens=numbers[counting.CACHED],
            preemptions=numbers[counting.PREEMPTIONS],
            ttft=ttft,
            tpot=tpot,
            e2e=e2e,
        )

    def intervals(self) -> Intervals:
        minutes = self._minutes[: self._known_minutes]
        levels = self._levels[: self._known_minutes].copy()
        for minute in range(self._first_open, min(self._known_minutes, self._first_open + len(self._window))):
            levels[minute] = self._levels_of(minute)
        levels[self._first_open + len(self._window) :] = np.nan  # answered in, with no arrivals of their own yet
        return Intervals(
            arrivals=minutes[:, counting.ARRIVALS].copy(),
            finished=minutes[:, counting.FINISHED].copy(),
            good=minutes[:, counting.GOOD_ARRIVALS].copy(),
            prompt_tokens=minutes[:, counting.PROMPT_TOKENS].copy(),
            output_tokens=minutes[:, counting.OUTPUT_TOKENS].copy(),
            generation_tokens=minutes[:, counting.GENERATED].copy(),
            ttft=levels[:, counting.TTFT],
            tpot=levels[:, counting.TPOT],
            e2e=levels[:, counting.E2E],
        )

    def _close(self, before: int) -> None:
        """Settle the percentiles of all open minutes before this one, and free their histograms."""
        for minute in range(self._first_open, min(before, self._first_open + len(self._window))):
            self._levels[minute] = self._levels_of(minute)
            self._window[minute % len(self._window)] = 0
        self._levels[self._first_open + len(self._window) : before] = np.nan  # nothing arrived in them
        self._first_open = before

    def _levels_of(self, minute: int) -> F8:
        return np.array([quantiles(counts, LEVELS) for counts in self._window[minute % len(self._window)]])

    def _make_room(self, minutes: int) -> None:
        if minutes > len(self._minutes):
            more = max(minutes, 2 * len(self._minutes), 1_024) - len(self._minutes)
            self._minutes = np.concatenate([self._minutes, np.zeros((more, counting.MINUTES), np.int64)])
            self._levels = np.concatenate([self._levels, np.full((more, 3, len(LEVELS)), np.nan)])
        self._known_minutes = max(self._known_minutes, minutes)
