"""From judged series to the values of an answer, or to the one reason why there is none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapter.api.status import StatusError
from adapter.freshness import NEVER_NS, State, judge
from adapter.sources.pods import PodInfo
from adapter.sources.rule import Reducer, WhenStale, reduce
from adapter.sources.series import Series
from adapter.store import Table

_FAULTS: tuple[State, ...] = ("stale", "missing")
NONE_SELECTED = "its source gives no series that this request selects"


@dataclass(frozen=True, slots=True)
class Value:
    """One value. at_ns: of the oldest sample in it. until_ns: when it must be judged anew.

    renewed_since_ns: since when samples come without a pause, 0 for more than a max age.
    """

    value: float
    at_ns: int
    window_seconds: int
    until_ns: int
    renewed_since_ns: int = 0

    def is_steady(self, table: Table, now_ns: int) -> bool:
        """Whether samples came without a pause during the last max age, as far as it is known."""
        return now_ns - self.at_ns <= table.pause_ns and now_ns - self.renewed_since_ns >= table.max_age_ns


@dataclass(frozen=True, slots=True)
class NoValue:
    """Why there is none. A fault (stale, missing) is not the same as nothing to tell (loading, quiet).

    until_ns: when it must be judged anew: silence becomes a fault with age.
    """

    state: State
    why: str
    until_ns: int = NEVER_NS

    @property
    def is_fault(self) -> bool:
        return self.state in _FAULTS


def value_of_pod(
    series: Sequence[Series], table: Table, when_stale: WhenStale, pod: PodInfo | None, now_ns: int
) -> Value | NoValue:
    """One value from a pod's series (one or more), by the rule's reducer.

    One series without a value makes the pod's value unknown: a sum or mean over the others would be too low,
    and a load that reads too low scales down. Only series in whose window nothing happened are passed over.
    """
    key = series[0].pod
    since_ns = table.renewed_since_ns.get(key, 0) if key is not None else 0
    if len(series) == 1:  # the usual case, and this is the request path
        one = series[0]
        judged = judge(one, table, when_stale, pod, now_ns)
        if judged.value is None:
            return NoValue(judged.state, judged.why, judged.until_ns)
        return Value(judged.value, one.at_ns, one.window_seconds, judged.until_ns, since_ns)
    pairs = [(one, judge(one, table, when_stale, pod, now_ns)) for one in series]
    for _, judged in pairs:
        if judged.value is None and judged.state != "quiet":
            return NoValue(judged.state, judged.why)
    known = [(one, judged, judged.value) for one, judged in pairs if judged.value is not None]
    until_ns = min(judged.until_ns for _, judged in pairs)
    if not known:
        return NoValue("quiet", pairs[0][1].why, until_ns)
    return Value(
        reduce(table.rule.reducer, [value for _, _, value in known]),
        min(one.at_ns for one, _, _ in known),
        known[0][0].window_seconds,
        until_ns,
        since_ns,
    )


def across(reducer: Reducer, values: Sequence[Value], absent: Sequence[NoValue] = ()) -> Value:
    """One value from several pods' (one or more), absent ones passed over."""
    return Value(
        reduce(reducer, [one.value for one in values]),
        min(one.at_ns for one in values),
        values[0].window_seconds,
        min(earliest(values), *(one.until_ns for one in absent), NEVER_NS),
        max(one.renewed_since_ns for one in values),
    )


class Absences:
    """Collects why values are absent, and says which error an answer must be."""

    def __init__(self, when_stale: WhenStale, not_found: str, source_fault: str = "") -> None:
        """not_found: the API's own message for a metric that is not there. source_fault: why the values' source
        cannot be had at present, "" if it can."""
        self.until_ns = NEVER_NS  # when the first of those noted must be judged anew
        self._when_stale = when_stale
        self._not_found = not_found
        self._source_fault = source_fault
        self._is_stale = False
        self._reasons: list[str] = []
        self._faults = 0

    def add(self, what: str, absence: NoValue) -> None:
        """Note one. what: "pod vllm-0"; "" where the request names one object only."""
        self.until_ns = min(self.until_ns, absence.until_ns)
        self._is_stale |= absence.state == "stale"
        if absence.is_fault:
            self._faults += 1
            self._reasons.insert(self._faults - 1, f"{what}: {absence.why}" if what else absence.why)
        else:
            self._reasons.append(f"{what}: {absence.why}" if what else absence.why)

    def check(self, *, found: bool, is_steady: bool = True) -> None:
        """Raise StatusError where the answer may not be given: nothing found, or a fault that the policy
        does not let pass.

        is_steady: whether one or more of the values found are. If not, one that is too old is no single pod's trouble,
        and none is told: where samples stop for all, or come again, they expire and are renewed one after the other,
        and an HPA that is told of some takes the rest to be at their target and scales down.

        Values that are too old, or not there, because their source throttles or is down, are unavailable; whether
        they are "not found" only the source could say.
        """
        is_common = self._is_stale and not is_steady
        if found and not is_common and (self._faults == 0 or self._when_stale.policy == "omit"):
            return
        more = f" (and {len(self._reasons) - 1} more)" if len(self._reasons) > 1 else ""
        why = f": {self._reasons[0]}{more}" if self._reasons else ""
        unavailable = self._faults > 0 and self._when_stale.policy == "unavailable"
        if self._source_fault and (self._is_stale or not self._reasons):
            unavailable, why = True, f"{why}; {self._source_fault}" if why else f": {self._source_fault}"
        why = why or f": {NONE_SELECTED}; `leadtime adapter explain` shows more"
        raise StatusError("ServiceUnavailable" if unavailable else "NotFound", self._not_found + why)


def earliest(values: Iterable[Value]) -> int:
    """When the first of these values must be judged anew."""
    return min((one.until_ns for one in values), default=NEVER_NS)
