"""What a policy would have delivered: over the judged part, by day, and by how old its history was."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from simulations.counts.demand_counts import BIN_SECONDS, F8
from simulations.counts.run import CountRun
from simulations.history.decision_log import Logged
from simulations.history.need import largest_rise
from simulations.history.samples import Known

DAY_BINS = 86_400 // BIN_SECONDS
AGES = (("first 6 hours", 0.0), ("6 to 24 hours", 0.25), ("day 2", 1.0), ("days 3 to 7", 2.0), ("after a week", 7.0))
"""What a history of so many days and more is called."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One policy's run. asked: attainment, None where the policy has no such knob. start_bin: of the whole history,
    where the run begins. known: of the whole history's bins. log: of its decisions; empty for plans."""

    asked: float | None
    run: CountRun
    start_bin: int
    known: Known
    log: Sequence[Logged] = field(default=())

    @property
    def policy(self) -> str:
        return self.run.policy

    def part(self, first_bin: int, end_bin: int) -> "Totals":
        """Of the history's bins [first, end) that the run covers and in which demand is known."""
        first, end = max(first_bin, self.start_bin), max(end_bin, self.start_bin)
        own = slice(first - self.start_bin, end - self.start_bin)
        known = self.known[first:end]
        return Totals(
            requests=float(self.run.requests[own][known].sum()),
            good=float(self.run.good[own][known].sum()),
            gpu_hours=float(self.run.gpu_seconds[own][known].sum()) / 3_600,
            rescales=int(self.run.rescales[own][known].sum()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Of some bins."""

    requests: float
    good: float
    gpu_hours: float
    rescales: int

    @property
    def delivered(self) -> float:
        """NaN where nothing arrived. A sum of shares may exceed the sum of requests by a rounding error."""
        return min(1.0, self.good / self.requests) if self.requests else math.nan

    @property
    def violations(self) -> float:
        return max(0.0, self.requests - self.good)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """The largest rise of the need within a lead time during which requests missed the SLO."""

    at_seconds: float
    replicas: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some bins and their name; days: how old the history was at the first of them."""

    name: str
    first_bin: int
    end_bin: int


def largest_missed(outcome: Outcome, need: F8, start_ns: int, lead_seconds: float, first_bin: int) -> Jump | None:
    """Of the bins from `first_bin` on in which more than 1 in 20 missed; None where there are none."""
    run = outcome.run
    own = slice(first_bin - outcome.start_bin, None)
    rise = largest_rise(need, math.ceil(lead_seconds / BIN_SECONDS))[first_bin:]
    requests = run.requests[own]
    missed = (requests - run.good[own] > 0.05 * requests) & (requests > 0) & outcome.known[first_bin:]
    if not missed.any():
        return None
    where = int(np.argmax(np.where(missed, rise, -1.0)))
    return Jump(at_seconds=start_ns / 1e9 + (first_bin + where) * BIN_SECONDS, replicas=float(rise[where]))


def days_of(start_ns: int, bins: int) -> list[Span]:
    """Calendar days in UTC."""
    start = start_ns // 10**9
    edges = [0]
    midnight = (start // 86_400 + 1) * 86_400
    while (midnight - start) // BIN_SECONDS < bins:
        edges.append(int(-(-(midnight - start) // BIN_SECONDS)))
        midnight += 86_400
    edges.append(bins)
    names = [datetime.fromtimestamp(start + first * BIN_SECONDS, UTC).strftime("%a %Y-%m-%d") for first in edges[:-1]]
    return [
        Span(name=name, first_bin=first, end_bin=end)
        for name, first, end in zip(names, edges[:-1], edges[1:], strict=True)
        if end > first
    ]


def ages_of(bins: int) -> list[Span]:
    """Spans of the history by its age: what a policy that begins with none goes through."""
    edges = [round(days * DAY_BINS) for _, days in AGES] + [max(bins, round(AGES[-1][1] * DAY_BINS))]
    return [
        Span(name=name, first_bin=first, end_bin=min(end, bins))
        for (name, _), first, end in zip(AGES, edges[:-1], edges[1:], strict=True)
        if first < bins and first < end
    ]


def numbers_at(log: Sequence[Logged], at_seconds: float) -> Mapping[str, float]:
    """Of the last decision until then; empty before the first."""
    found = last_until(log, at_seconds)
    return {} if found is None else found.numbers


def last_until(log: Sequence[Logged], at_seconds: float) -> Logged | None:
    """The last decision made at or before that instant."""
    low, high = 0, len(log)
    while low < high:
        middle = (low + high) // 2
        if log[middle].at_seconds <= at_seconds + 1e-6:
            low = middle + 1
        else:
            high = middle
    return log[low - 1] if low else None
