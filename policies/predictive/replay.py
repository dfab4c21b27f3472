"""What a rule of sizing would have delivered and cost on a recorded load: demand does not depend on our decisions.

The model: replicas asked for in one bin are billed from the next, and serve once they were asked for during a whole
lead time; those given up leave at once. Work beyond what they serve waits, first come first served, and whoever waits
longer than `slack_seconds` misses the SLO. All candidates are replayed at once, as array operations.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from policies.predictive.load_history import BIN_SECONDS, F8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """Loads and traits of the bins that are judged, with the lead time before them.

    loads: replicas, NaN where unknown; shape (bins,). traits: (traits, bins), as load_traits.all_traits gives them.
    lead_bins: from asking to serving. The first lead_bins + 1 bins are not judged.
    """

    loads: F8
    traits: F8
    lead_bins: int
    slack_seconds: float

    @classmethod
    def of(cls, loads: F8, traits: F8, *, lead_seconds: float, slack_seconds: float) -> Self:
        return cls(
            loads=loads,
            traits=traits,
            lead_bins=max(1, round(lead_seconds / BIN_SECONDS)),
            slack_seconds=slack_seconds,
        )


def replay(recording: Recording, weights: F8) -> tuple[F8, F8]:
    """(share of the work within the SLO, replica-hours), each of shape (candidates,).

    weights: (candidates, traits). A bin without a known load asks nothing of anyone and is billed all the same.
    """
    first = recording.lead_bins + 1
    wanted = np.maximum(np.ceil(weights @ recording.traits - 1e-9), 1.0)
    asked = np.concatenate([wanted[:, :1], wanted[:, :-1]], axis=1)
    ready = trailing_minimum(asked, recording.lead_bins)[:, first:]
    loads = np.nan_to_num(recording.loads[first:])
    surplus = np.cumsum((loads - ready) * BIN_SECONDS, axis=1)
    waiting = surplus - np.minimum(np.minimum.accumulate(surplus, axis=1), 0.0)  # Lindley's recursion in closed form
    after = waiting / ready
    before = np.concatenate([np.zeros((len(weights), 1)), waiting[:, :-1]], axis=1) / ready
    shorter, longer = np.minimum(before, after), np.maximum(before, after)
    slack = recording.slack_seconds
    within = np.where(longer <= slack, 1.0, np.clip((slack - shorter) / np.maximum(longer - shorter, 1e-9), 0.0, 1.0))
    work = loads.sum()
    attainment = (within @ loads) / work if work > 0 else np.ones(len(weights))
    return attainment, asked[:, first:].sum(axis=1) * BIN_SECONDS / 3_600


def trailing_minimum(values: F8, bins: int) -> F8:
    """At each place of the last axis the least of it and of the `bins` before it, as far as there are any."""
    least = values.copy()
    width = 1
    while width < bins + 1:
        shift = min(width, bins + 1 - width)
        least[..., shift:] = np.minimum(least[..., shift:], least[..., :-shift])
        width += shift
    return least
