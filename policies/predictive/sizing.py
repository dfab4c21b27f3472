"""How many replicas a state of the load needs: a weighted sum of its traits, with weights learned from its own past.

Until there is a past, the weights are PRIOR: what was learned on recordings of three services
(docs/decisions/0011-capacity-learned-by-replay.md).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from policies.predictive.load_history import BIN_SECONDS, BINS_PER_DAY, F8, LoadHistory
from policies.predictive.load_traits import TRAITS, all_traits
from policies.predictive.replay import Recording, Rules
from policies.predictive.sizing_fit import Fitted, delivering, fit

PRIOR = {"peak_2700s": 1.0, "unrest_1h": 0.25, "rise": 1.35}
"""In words: the largest load of late, fading over 45 minutes, and 1.35 times what the load has risen by in ten."""

_PRIOR_FACTORS = {0.9: 0.9, 0.95: 0.95, 0.98: 1.0, 0.99: 1.06, 0.995: 1.15, 0.998: 1.3}
"""Asked attainment -> what the prior's capacity is multiplied by; between them even in log(1 - attainment)."""

LEARN_PERIOD_SECONDS = 300
_FIRST_FIT_SECONDS = 1_200.0
_FIRST_FIT_LEAD_TIMES = 3.0
"""What comes within a lead time shows only in a recording that is longer than several of them."""

_FITTED_DAYS = 7

_ALLOWED = (1.0, 2.0, 4.0, 8.0)
"""Times the misses that are allowed."""

_AIMED = (0.5, 1.0)
"""Of those, tried in turn: the next week is not the one that was searched."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sizing:
    """weights: of TRAITS, >= 0; shape (traits,). bins: of history they were learned from; 0 for the prior.

    end: the bin after the last of them. attainment, replica_hours: what they had delivered and cost there.
    floor_load: the load per ready replica that just has what is asked, as it was known then.
    """

    weights: F8
    floor_load: float
    bins: int = 0
    end: int = 0
    attainment: float = math.nan
    replica_hours: float = math.nan

    def replicas(self, traits: F8, floor_load: float) -> float:
        """Capacity in replicas, not rounded; floor_load: as it is known now."""
        return float(self.weights @ traits) * self.floor_load / floor_load

    @property
    def days(self) -> float:
        return self.bins / BINS_PER_DAY


LEVEL = TRAITS.index("level_60s")
"""The load of now, as the floor takes it."""


def prior(attainment: float, floor_load: float) -> Sizing:
    """The weights before anything was learned, for the asked attainment in (0, 1).

    floor_load: per ready replica, at which a steady load just has it (WithinSLO.load_for).
    """
    misses = [-math.log(1.0 - asked) for asked in _PRIOR_FACTORS]
    factor = float(np.interp(-math.log(1.0 - attainment), misses, list(_PRIOR_FACTORS.values())))
    weights = factor / floor_load * np.array([PRIOR.get(name, 0.0) for name in TRAITS])
    return Sizing(weights=weights, floor_load=floor_load)


def is_due(sizing: Sizing, history: LoadHistory, lead_seconds: float) -> bool:
    """Whether to learn: after 20 minutes and three lead times, whenever the history has doubled, and once a day."""
    bins = len(history)
    if bins * BIN_SECONDS < max(_FIRST_FIT_SECONDS, _FIRST_FIT_LEAD_TIMES * lead_seconds):
        return False
    before = max(sizing.end - history.first, 0)  # what was learned may have been kept longer than its history
    has_doubled = sizing.bins < BINS_PER_DAY and bins >= 2 * sizing.bins
    return has_doubled or bins // BINS_PER_DAY > before // BINS_PER_DAY


def recorded(loads: F8, rules: Rules, judged: int) -> Recording:
    """The last `judged` bins of these loads; those before give the first day's traits."""
    traits = all_traits(loads, rules.lead_seconds)[:, -judged:]
    return Recording(loads=loads[-judged:], traits=traits, levels=traits[LEVEL], rules=rules)


def learned(sizing: Sizing, history: LoadHistory, *, attainment: float, rules: Rules) -> Sizing:
    """Weights for the last week; those given where the week shows none, as without any load.

    Those that had served that week best with half as many misses as are allowed, scaled to deliver what is asked. Where
    nothing delivers it, as on a first day of steep ramps, twice as many misses are allowed, and so on.
    """
    loads = history.loads()
    recording = recorded(loads, rules, _judged(len(loads)))
    for misses in _ALLOWED:
        asked = 1.0 - misses * (1.0 - attainment)
        best = _searched(recording, asked)
        if best is not None:
            found = delivering(recording, best.weights, asked)
            return Sizing(
                weights=found.weights,
                floor_load=rules.floor_load,
                bins=len(recording.loads),
                end=history.end,
                attainment=found.attainment,
                replica_hours=found.replica_hours,
            )
    return replace(sizing, bins=len(recording.loads), end=history.end)


def _judged(bins: int) -> int:
    """Bins to be judged, the last ones of so many.

    The first day of all has no yesterday, and what leans on it fails there: from two days on it is left out.
    """
    return min(bins if bins < 2 * BINS_PER_DAY else bins - BINS_PER_DAY, _FITTED_DAYS * BINS_PER_DAY)


def _searched(recording: Recording, asked: float) -> Fitted | None:
    """The best weights for half of the misses that are allowed, or else for all; None where none are found."""
    first = prior(asked, recording.rules.floor_load).weights
    most = float(recording.rules.within.shares[0])
    for share in _AIMED:
        found = fit(recording, first, attainment=most - share * (most - asked))
        if found is not None:
            return found
    return None
