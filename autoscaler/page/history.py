"""What the page remembers of each autoscaler, in bounded memory: the last step whole, the numbers of a day, and the
decisions that changed something.

The last hour is kept step by step and the day in spans of 2 min, of which the row with the highest need stays: a peak
is what scaling is about. At a step every 15 s that is 240 + 720 rows of 68 bytes, 65 kB an autoscaler; with the last
step and the decisions 73 kB after a day of ordinary load (measured by tracemalloc), so 73 MB for 1,000, and below
100 kB at the worst (tests/unit/autoscaler/test_page_history.py).
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler.cluster import Key
from autoscaler.forecast import Forecast
from autoscaler.outcome import Outcome
from autoscaler.page.ring import Ring
from policies.snapshot import NS_PER_SECOND

COLUMNS = (
    "demand_requests_per_second",
    "level_requests_per_second",
    "backlog_requests",
    "capacity_requests_per_second",
    "load_replicas",
    "ahead_replicas",
    "needed_replicas",
    "lead_time_seconds",
    "asked_replicas",
    "ready_replicas",
    "starting_replicas",
    "pending_replicas",
    "desired_replicas",
    "forecast_lower_requests_per_second",
    "forecast_median_requests_per_second",
    "forecast_upper_requests_per_second",
)
"""The numbers of a row; NaN where one was not known. The first eight are a decision's (policies.predictive.decide);
capacity is that of one replica. The forecast is of demand lead_time_seconds later."""

_FROM_DECISION = COLUMNS[:8]
_NEED = COLUMNS.index("needed_replicas")

_FINE_ROWS = 240  # an hour at the usual 15 s
_SPAN_SECONDS = 120
_SPAN_ROWS = 86_400 // _SPAN_SECONDS
_TOLD = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A decision that changed something. replicas: asked for before it, None where the workload was not seen.

    wrote: `deployments.apps/vllm`, or "" where nothing was written; withheld: why not, or what failed.
    """

    at_ns: int
    replicas: int | None
    desired_replicas: int | None
    reason: str
    message: str
    wrote: str
    withheld: str


class Past:
    """One autoscaler's."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.last: Outcome | None = None
        self.told: deque[Told] = deque(maxlen=_TOLD)
        self._fine = Ring(len(COLUMNS), _FINE_ROWS)
        self._spans = Ring(len(COLUMNS), _SPAN_ROWS)
        self._span = -1
        self._highest: tuple[int, list[float]] | None = None

    def record(self, outcome: Outcome) -> None:
        if self.last is not None and outcome.at_ns <= self.last.at_ns:
            return  # a clock that was set back: the page would show lines that run backwards
        at_seconds, values = outcome.at_ns // NS_PER_SECOND, _row(outcome)
        self._fine.append(at_seconds, values)
        if at_seconds // _SPAN_SECONDS != self._span:
            self._span = at_seconds // _SPAN_SECONDS
            if self._highest is not None:
                self._spans.append(*self._highest)
            self._highest = None
        if self._highest is None or _is_higher(values[_NEED], self._highest[1][_NEED]):
            self._highest = at_seconds, values
        if (told := _told(self.last, outcome)) is not None:
            self.told.append(told)
        self.last = outcome

    def rows(self, after_seconds: int = 0) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """(Unix seconds, values by COLUMNS), oldest first: spans, then steps from where those begin."""
        seconds, values = self._fine.rows()
        if len(seconds) and after_seconds < int(seconds[0]):
            old_seconds, old_values = self._spans.rows()
            older = old_seconds < seconds[0]
            seconds = np.concatenate((old_seconds[older], seconds))
            values = np.concatenate((old_values[older], values))
        newer = seconds > after_seconds
        return seconds[newer], values[newer]

    @property
    def nbytes(self) -> int:
        """Of the rows."""
        return self._fine.nbytes + self._spans.nbytes


class History:
    """All autoscalers'."""

    def __init__(self) -> None:
        self._pasts: dict[Key, Past] = {}

    def record(self, outcome: Outcome) -> None:
        """Take in one step. An object that was deleted and made anew under its name begins anew."""
        past = self._pasts.get(outcome.key)
        if past is None or past.uid != outcome.uid:
            past = self._pasts[outcome.key] = Past(outcome.uid)
        past.record(outcome)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._pasts.pop(key, None)

    def __len__(self) -> int:
        return len(self._pasts)

    def __iter__(self) -> Iterator[Outcome]:
        """The last step of each."""
        return (past.last for past in self._pasts.values() if past.last is not None)

    def past(self, key: Key) -> Past | None:
        return self._pasts.get(key)


def _is_higher(need: float, than: float) -> bool:
    """Whether it is known and higher; any known need is higher than an unknown one."""
    return not math.isnan(need) and (math.isnan(than) or need > than)


def _row(outcome: Outcome) -> list[float]:
    numbers = outcome.decision.numbers if outcome.decision is not None else {}
    replicas = outcome.replicas
    seen = (
        (replicas.asked, replicas.ready, replicas.starting, replicas.pending)
        if replicas is not None
        else (math.nan, math.nan, math.nan, math.nan)
    )
    desired = math.nan if outcome.decision is None else outcome.decision.desired_replicas
    return [*(float(numbers.get(name, math.nan)) for name in _FROM_DECISION), *seen, desired, *_band(outcome.forecast)]


def _band(told: Forecast | None) -> tuple[float, float, float]:
    if told is None:
        return math.nan, math.nan, math.nan
    return told.lower_requests_per_second, told.median_requests_per_second, told.upper_requests_per_second


def _told(before: Outcome | None, now: Outcome) -> Told | None:
    """What to tell of this step: a first or another number, a write, another reason why one was withheld."""
    decision, acted = now.decision, now.acted
    if decision is None:
        return None
    withheld = acted.withheld or acted.error
    was = None if before is None else before.decision
    same = (
        before is not None
        and was is not None
        and was.desired_replicas == decision.desired_replicas
        and (before.acted.withheld or before.acted.error) == withheld
    )
    if same and not acted.to:
        return None
    return Told(
        at_ns=now.at_ns,
        replicas=None if now.replicas is None else now.replicas.asked,
        desired_replicas=decision.desired_replicas,
        reason=decision.reason,
        message=decision.message,
        wrote="" if acted.error else acted.to,
        withheld=withheld,
    )
