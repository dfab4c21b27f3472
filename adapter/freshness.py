"""Whether a series has a value now: the one place where age, readiness and absence are judged."""

from dataclasses import dataclass
from typing import Literal

from adapter.sources.pods import PodInfo
from adapter.sources.rule import WhenStale
from adapter.sources.series import NS_PER_SECOND, Series
from adapter.store import Table

State = Literal["fresh", "held", "loading", "quiet", "missing", "stale"]
"""fresh, held: has a value. loading: its pod is not Ready, and the rule leaves such pods out. quiet: nothing
happened in a rate's or quantile's window, so far as is known: of a pod that has not been heard of for longer it is
not. missing: the source has no number (NaN, a shared GPU). stale: older
than the rule allows."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """value: the number to tell, None in the states without one. why: the reason then, in a few words.

    until_ns: the instant after which this judgement must be made anew, if the series is still the same.
    """

    state: State
    value: float | None
    until_ns: int
    why: str = ""


NEVER_NS = 2**63 - 1


def judge(series: Series, table: Table, when_stale: WhenStale, pod: PodInfo | None, now_ns: int) -> Judgement:
    """Judge one of the table's series at now_ns. pod: whose it is, None if it is of no pod."""
    rule = table.rule
    if pod is not None and pod.ready is False and rule.while_loading == "omit":
        return Judgement("loading", None, NEVER_NS, "its pod is not Ready (whileLoading: omit)")
    fresh_until_ns = series.at_ns + table.max_age_ns
    if series.value is None and not series.is_quiet:
        return Judgement("missing", None, NEVER_NS, series.why or "no value")
    if series.value is None and series.pod is None:
        return Judgement("quiet", None, NEVER_NS, series.why)
    if now_ns <= fresh_until_ns:
        state: State = "fresh" if series.value is not None else "quiet"
        return Judgement(state, series.value, fresh_until_ns, series.why)
    seconds, limit = (now_ns - series.at_ns) / NS_PER_SECOND, table.max_age_ns / NS_PER_SECOND
    age = f"last sample {seconds:.0f} s old, max age {limit:g} s"
    if when_stale.policy == "hold" and series.value is not None:
        held_until_ns = fresh_until_ns + round(when_stale.hold_seconds * NS_PER_SECOND)
        if now_ns <= held_until_ns:
            return Judgement("held", series.value, held_until_ns, age)
        age += f", held for {when_stale.hold_seconds:g} s more"
    return Judgement("stale", None, NEVER_NS, age)
