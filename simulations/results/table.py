"""Requests kept in memory: every figure exact, and each request there to look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.request_rows import NEVER_SENT, OUTCOMES, ROW, SERVED, Rows, latencies
from simulations.results.intervals import F8, I8, INTERVAL_SECONDS, LEVELS, Intervals
from simulations.results.percentiles import Percentiles
from simulations.results.totals import RequestTotals
from simulations.slo import SLO


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KeptRequests:
    """One entry a request, in order of arrival; seconds, NaN where it never happened. rows: with the fields of ROW."""

    rows: Rows
    ttft_seconds: F8
    tpot_seconds: F8
    e2e_seconds: F8
    good: NDArray[np.bool_]


class RequestTable:
    """Implements `Collector`: what the engine has of a request, 80 bytes where that is ROW."""

    def __init__(self, slo: SLO) -> None:
        self._slo = slo
        self._pieces: list[Rows] = []
        self._kept: KeptRequests | None = None

    def add(self, rows: Rows) -> None:
        self._pieces.append(rows.copy())
        self._kept = None

    def kept(self) -> KeptRequests:
        """All that was added so far."""
        if self._kept is None:
            self._kept = self._judged()
        return self._kept

    def totals(self) -> RequestTotals:
        kept = self.kept()
        rows = kept.rows
        sent, served = rows["outcome"] != NEVER_SENT, rows["outcome"] == SERVED
        return RequestTotals(
            outcomes=tuple(np.bincount(rows["outcome"], minlength=len(OUTCOMES)).tolist()),
            good=int(kept.good.sum()),
            prompt_tokens=_total(rows["prompt_tokens"][sent]),
            output_tokens=_total(rows["output_tokens"][sent]),
            served_prompt_tokens=_total(rows["prompt_tokens"][served]),
            served_output_tokens=_total(rows["output_tokens"][served]),
            lost_output_tokens=_total(rows["generated"][sent & ~served]),
            cached_tokens=_total(np.maximum(rows["cached_tokens"][served], 0)),
            preemptions=_total(rows["preemptions"][sent]),
            ttft=Percentiles.of_values(kept.ttft_seconds),
            tpot=Percentiles.of_values(kept.tpot_seconds),
            e2e=Percentiles.of_values(kept.e2e_seconds),
        )

    def intervals(self) -> Intervals:
        kept = self.kept()
        sent = kept.rows["outcome"] != NEVER_SENT
        rows, good = kept.rows[sent], kept.good[sent]
        minute = (rows["arrival"] // INTERVAL_SECONDS).astype(np.int64)
        served = rows["outcome"] == SERVED
        ended = (rows["finish"][served] // INTERVAL_SECONDS).astype(np.int64)
        minutes = 1 + max(int(minute.max(initial=-1)), int(ended.max(initial=-1)))
        generated = np.where(served, rows["output_tokens"], rows["generated"])

        def summed(values: NDArray[np.int32] | NDArray[np.bool_]) -> I8:
            return np.bincount(minute, weights=values, minlength=minutes).astype(np.int64)  # exact up to 2^53

        return Intervals(
            arrivals=np.bincount(minute, minlength=minutes).astype(np.int64),
            finished=np.bincount(ended, minlength=minutes).astype(np.int64),
            good=summed(good),
            prompt_tokens=summed(rows["prompt_tokens"]),
            output_tokens=summed(rows["output_tokens"]),
            generation_tokens=summed(generated),
            ttft=_levels(minute, kept.ttft_seconds[sent], minutes),
            tpot=_levels(minute, kept.tpot_seconds[sent], minutes),
            e2e=_levels(minute, kept.e2e_seconds[sent], minutes),
        )

    def _judged(self) -> KeptRequests:
        rows = np.concatenate(self._pieces) if self._pieces else np.empty(0, ROW)
        self._pieces = [rows]
        seen = latencies(rows)
        good = (rows["outcome"] == SERVED) & self._slo.met(*seen, e2e_limit=rows["e2e_limit"])
        return KeptRequests(rows=rows, ttft_seconds=seen.ttft, tpot_seconds=seen.tpot, e2e_seconds=seen.e2e, good=good)


def _total(values: NDArray[np.int32]) -> int:
    return int(values.sum(dtype=np.int64))


def _levels(minute: I8, seconds: F8, minutes: int) -> F8:
    """The quantiles of each minute's values that are known; shape (minutes, len(LEVELS))."""
    known = ~np.isnan(seconds)
    minute, seconds = minute[known], seconds[known]
    if np.any(minute[1:] < minute[:-1]):
        order = np.argsort(minute, kind="stable")
        minute, seconds = minute[order], seconds[order]
    groups = np.split(seconds, np.searchsorted(minute, np.arange(1, minutes)))
    levels = np.full((minutes, len(LEVELS)), np.nan)
    for index, group in enumerate(groups[:minutes]):
        if len(group):
            levels[index] = np.quantile(group, LEVELS)
    return levels
