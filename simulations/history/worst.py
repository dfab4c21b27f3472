"""The quarter-hours in which most requests missed the SLO, what was decided then, and why it was not enough."""

import math
from dataclasses import dataclass

import numpy as np

from simulations.counts.demand_counts import BIN_SECONDS, F8
from simulations.history.outcome import Outcome, last_until

QUARTER_BINS = 900 // BIN_SECONDS
_ENOUGH = 0.97
"""So much of what was needed counts as enough: needs are not rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarterHour:
    """at_seconds: Unix time of its beginning. worst_seconds: of its bin with most misses; all replicas are of then.

    decision: the sentence of the decision in force at the worst bin; "" for a run without decisions. why: in words.
    """

    at_seconds: float
    worst_seconds: float
    requests: float
    missed: float
    needed: float
    asked: int
    ready: int
    waiting: float
    decision: str
    why: str


def worst_quarter_hours(
    outcome: Outcome, need: F8, start_ns: int, first_bin: int, *, lead_seconds: float, max_replicas: int, most: int = 10
) -> list[QuarterHour]:
    """Those of the judged part with most misses, most first; none without a miss. need: of the whole history."""
    run, start = outcome.run, start_ns / 1e9
    own = first_bin - outcome.start_bin
    missed = np.where(outcome.known[first_bin:], np.maximum(run.requests[own:] - run.good[own:], 0.0), 0.0)
    edges = np.arange(0, len(missed), QUARTER_BINS)
    by_quarter = np.add.reduceat(missed, edges)
    found = []
    for place in np.argsort(-by_quarter, kind="stable")[:most].tolist():
        if by_quarter[place] < 0.5:
            break
        first = int(edges[place])
        end = min(first + QUARTER_BINS, len(missed))
        worst = first + int(np.argmax(missed[first:end]))
        at = start + (first_bin + worst) * BIN_SECONDS
        decided = last_until(outcome.log, at + BIN_SECONDS)
        found.append(
            QuarterHour(
                at_seconds=start + (first_bin + first) * BIN_SECONDS,
                worst_seconds=at,
                requests=float(run.requests[own + first : own + end].sum()),
                missed=float(by_quarter[place]),
                needed=float(need[first_bin + worst]),
                asked=int(run.replicas[own + worst]),
                ready=int(run.ready_replicas[own + worst]),
                waiting=float(run.waiting[own + worst]),
                decision="" if decided is None else decided.message,
                why=_why(outcome, need, first_bin + worst, lead_seconds, max_replicas),
            )
        )
    return found


def _why(outcome: Outcome, need: F8, at: int, lead_seconds: float, max_replicas: int) -> str:
    """In words; `at`: a bin of the whole history."""
    run, own = outcome.run, at - outcome.start_bin
    needed, asked, ready = float(need[at]), int(run.replicas[own]), int(run.ready_replicas[own])
    lead_bins = math.ceil(lead_seconds / BIN_SECONDS)
    before = max(0, at - lead_bins)
    least = float(need[before : at + 1].min())
    rose = f"the need rose from {least:.1f} to {needed:.1f} replicas within one lead time"
    if ready >= _ENOUGH * needed:
        if run.waiting[own] >= 1:
            return (
                f"{ready} ready replicas were enough again for what came, but {run.waiting[own]:.0f} requests of "
                "before were still waiting"
            )
        return (
            f"{ready} ready replicas were about the {needed:.1f} needed: at that load this many requests miss by their "
            "own size, or queued within the quarter-hour"
        )
    if asked >= max_replicas and needed > asked:
        return f"maxReplicas of {max_replicas} was reached; {needed:.1f} were needed"
    short = f"{ready} of the {needed:.1f} replicas needed were ready"
    then = int(run.replicas[max(0, own - lead_bins)])
    if asked < _ENOUGH * needed:
        return f"{short} and {asked} asked for: {rose}, and the decision of now still asks for too few"
    if then < _ENOUGH * needed:
        return f"{short}: {rose}; one lead time earlier {then} were asked for, the others are still starting"
    return f"{short}: enough had been asked for a lead time before, but these pods took longer than the median to start"
