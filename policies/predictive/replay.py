"""What a rule of sizing would have delivered and cost on a recorded load: demand does not depend on our decisions.

The model: replicas asked for in one bin are billed from the next, stay for the scale-down window, and serve once they
were there during a whole lead time; those given up leave at once. What a ready replica delivers by its load is
WithinSLO. Work beyond what they serve at all waits, first come first served, and whoever waits longer than
`slack_seconds` misses the SLO. All candidates are replayed at once, as array operations.
"""

from dataclasses import dataclass

import numpy as np

from policies.predictive.load_history import BIN_SECONDS, F8
from policies.predictive.trailing import trailing_minimum
from policies.predictive.within_slo import WithinSLO


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is fixed while sizing is searched. floor_load: never fewer ready replicas than the level over this."""

    within: WithinSLO
    floor_load: float
    lead_seconds: float
    slack_seconds: float
    window_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """Loads and traits of the bins that are judged. The first are not: as many as a lead time has, and one.

    loads: replicas at the mean TPOT, NaN where unknown; shape (bins,). traits: (traits, bins), as all_traits gives
    them. levels: that the floor follows; shape (bins,).
    """

    loads: F8
    traits: F8
    levels: F8
    rules: Rules


def replay(recording: Recording, weights: F8) -> tuple[F8, F8]:
    """(share of the work within the SLO, replica-hours), each of shape (candidates,).

    weights: (candidates, traits). A bin without a known load asks nothing of anyone and is billed all the same.
    """
    rules, within = recording.rules, recording.rules.within
    lead = max(1, round(rules.lead_seconds / BIN_SECONDS))
    first = lead + 1
    wanted = np.maximum(weights @ recording.traits, recording.levels / rules.floor_load)
    np.maximum(np.ceil(wanted - 1e-9, out=wanted), 1.0, out=wanted)
    wanted[:, 1:] = wanted[:, :-1]
    asked = -trailing_minimum(-wanted, round(rules.window_seconds / BIN_SECONDS))
    ready = trailing_minimum(asked, lead)[:, first:]
    loads = np.nan_to_num(recording.loads[first:])
    served = ready * within.most
    surplus = np.cumsum((loads - served) * BIN_SECONDS, axis=1)
    waiting = surplus - np.minimum(np.minimum.accumulate(surplus, axis=1), 0.0)  # Lindley's recursion in closed form
    each = np.interp(np.where(waiting > 0, within.most, loads / ready), within.loads, within.shares)
    each *= _in_time(waiting, served, rules.slack_seconds)
    work = loads.sum()
    attainment = (each @ loads) / work if work > 0 else np.ones(len(weights))
    return attainment, asked[:, first:].sum(axis=1) * BIN_SECONDS / 3_600


def _in_time(waiting: F8, served: F8, slack_seconds: float) -> F8:
    """Share of each bin's arrivals that wait no longer; waiting: work at its end, served: per second; of one shape."""
    after = waiting / served
    before = np.concatenate([np.zeros((len(waiting), 1)), waiting[:, :-1]], axis=1) / served
    shorter, longer = np.minimum(before, after), np.maximum(before, after)
    partly = np.clip((slack_seconds - shorter) / np.maximum(longer - shorter, 1e-9), 0.0, 1.0)
    return np.where(longer <= slack_seconds, 1.0, partly)
