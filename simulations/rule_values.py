"""The adapter's built-in rules, rates above all, over what was scraped in process.

The arithmetic is the adapter's own (adapter/sources/derive); only the page's text and its labels are left out, since a
simulated pod has one series of a name. Rules over a histogram's buckets are not worked out here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from adapter.sources.catalogue import RULES
from adapter.sources.derive.history import CounterHistory
from adapter.sources.rule import Latest, Rate, Ratio, Rule, Total, Value
from policies.snapshot import NS_PER_SECOND

_RULES = {name.lower(): rule for rule in RULES for name in (rule.name, *rule.aliases)}


def rule_over(name: str, series: Collection[str]) -> Rule | None:
    """The rule that serves `name`, in any letter case; None if there is none, or pods have not the series it needs."""
    rule = _RULES.get(name.lower())
    return rule if rule is not None and _is_over(rule, series) else None


def rule_names(series: Collection[str]) -> set[str]:
    """Every name of a rule over these series."""
    return {name for rule in RULES if _is_over(rule, series) for name in (rule.name, *rule.aliases)}


class RuleValues:
    """Remembers the counters of each pod for as long as a rule's window."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        """rules: by the name under which their values are wanted."""
        self._rules = rules
        self._histories: dict[tuple[str, str], tuple[CounterHistory, int]] = {}

    def scrape(self, pages: Mapping[str, Mapping[str, float]], at_ns: int) -> dict[str, dict[str, float]]:
        """Name -> pod -> value, of those that have one. pages: pod -> series -> value, as received at at_ns."""
        values: dict[str, dict[str, float]] = {}
        for name, rule in self._rules.items():
            of_pods = {pod: self._value(name, rule.value, pod, page, at_ns) for pod, page in pages.items()}
            values[name] = {pod: value for pod, value in of_pods.items() if value is not None}
        self._histories = {
            key: (history, window_ns)
            for key, (history, window_ns) in self._histories.items()
            if history.last_ns > at_ns - window_ns
        }
        return values

    def _value(self, name: str, value: Value, pod: str, page: Mapping[str, float], at_ns: int) -> float | None:
        samples = [_first(page, part) for part in _parts(value)]
        known = [sample for sample in samples if sample is not None]
        if len(known) < len(samples):
            return None
        if not isinstance(value, Rate | Ratio):
            return sum(known)
        history = self._history(name, pod, len(known), value.window_seconds)
        history.add(at_ns, known)
        span = history.span(at_ns)
        if span is None:
            return None
        if isinstance(value, Rate):
            return span.rate(history.first()[0], history.increases()[0])
        grown, by = history.increases()
        return grown / by if by > 0 else value.idle

    def _history(self, name: str, pod: str, width: int, window_seconds: int) -> CounterHistory:
        key = name, pod
        if key not in self._histories:
            self._histories[key] = CounterHistory(width, window_seconds), window_seconds * NS_PER_SECOND
        return self._histories[key][0]


def _is_over(rule: Rule, series: Collection[str]) -> bool:
    parts = _parts(rule.value)
    return bool(parts) and all(any(each in series for each in part) for part in parts)


def _parts(value: Value) -> Sequence[Sequence[str]]:
    """For each series that the value is made of, its names, the current one first; none for a histogram's."""
    match value:
        case Latest(names) | Rate(names):
            return (names,)
        case Ratio(numerator, denominator):
            return (numerator, denominator)
        case Total(parts):
            return parts
        case _:
            return ()


def _first(page: Mapping[str, float], names: Iterable[str]) -> float | None:
    return next((page[name] for name in names if name in page), None)
