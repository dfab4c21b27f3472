"""The series of one rule from one page, and the histories that rates need between pages."""

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from adapter.sources.derive.history import CounterHistory
from adapter.sources.derive.page import Page, Row
from adapter.sources.derive.promql import histogram_quantile, share_above
from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Rule, Share, Total, Value, series_names
from adapter.sources.series import NO_LABELS, NS_PER_SECOND, Series
from adapter.sources.series_cache import LabelSet

_Labels: TypeAlias = tuple[LabelSet, str | None]
"""What must be equal in two series that belong together: labels, and `le` where both are buckets."""


class Histories:
    """Of one page: (what, window) -> label set or series -> its samples. Values of one histogram share theirs."""

    def __init__(self) -> None:
        self._groups: dict[tuple[tuple[str, ...], int], dict[object, CounterHistory]] = {}

    def of(self, names: tuple[str, ...], window_seconds: int, key: object, width: int) -> CounterHistory:
        """The history of one series, made at its first use. key: tells it from the page's others."""
        group = self._groups.setdefault((names, window_seconds), {})
        found = group.get(key)
        if found is None:
            found = group[key] = CounterHistory(width, window_seconds)
        return found

    def forget(self, now_ns: int) -> None:
        """Drop what no window reaches any more, and what is of the future: the clock was set back, and until it gets
        there again no sample would be newer."""
        for names, window_seconds in list(self._groups):
            group = self._groups[names, window_seconds]
            oldest_ns = now_ns - window_seconds * NS_PER_SECOND
            for key in [key for key, history in group.items() if not oldest_ns < history.last_ns <= now_ns]:
                del group[key]
            if not group:
                del self._groups[names, window_seconds]

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))


def series_of(rule: Rule, page: Page, histories: Histories) -> Iterator[Series]:
    """The rule's series on this page; those without a value say why. Worked out as they are asked for."""
    if page.cut and page.pod is not None:
        why = next((why for names in _parts(rule.value) if (why := page.why_cut(names))), "")
        if why:
            return iter([Series(NO_LABELS, None, page.at_ns, page.pod, why=why)])
    match rule.value:
        case Latest(names):
            return (_latest(row) for row in page.rows(names))
        case Rate() as rate:
            return (_rate(rate, row, page, histories) for row in page.rows(rate.series))
        case Ratio():
            return _ratios(rule.value, page, histories)
        case Quantile() | Share():
            return _of_histograms(rule.value, page, histories)
        case Total(parts):
            return _totals(parts, page)


def why_missing(row: Row) -> str:
    """Why this sample is no value of its pod; "" if it is one."""
    if not math.isfinite(row.value):
        return "NaN" if math.isnan(row.value) else f"{row.value:+}".replace("inf", "Inf")
    return row.owner.why_not_attributable(row.head.name)


def _latest(row: Row) -> Series:
    why = why_missing(row)
    return Series(row.labels, None if why else row.value, row.at_ns, row.owner.pod, why=why)


def _rate(rule: Rate, row: Row, page: Page, histories: Histories) -> Series:
    window = rule.window_seconds
    why = why_missing(row)
    if why:
        return Series(row.labels, None, row.at_ns, row.owner.pod, window, why=why)
    history = histories.of(rule.series, window, row.head, 1)
    history.add(row.at_ns, (row.value,))
    span = history.span(page.at_ns)
    if span is None:
        return Series(row.labels, None, row.at_ns, row.owner.pod, window, why=_too_few(window), is_quiet=True)
    value = span.rate(history.first()[0], history.increases()[0])
    return Series(row.labels, value, history.last_ns, row.owner.pod, window)


def _ratios(rule: Ratio, page: Page, histories: Histories) -> Iterator[Series]:
    """Of series with equal labels. Plain increases between the same two instants: what would be extrapolated
    for the numerator would be for the denominator too."""
    denominators = _by_labels(page, rule.denominator)
    for labels, above in _by_labels(page, rule.numerator).items():
        below = denominators.get(labels)
        why, at_ns = why_missing(above), above.at_ns
        value, is_quiet = None, False
        if below is None:
            why = why or f"{rule.denominator[0]} has no series with these labels"
        elif not (why := why or why_missing(below)):
            history = histories.of((*rule.numerator, "/", *rule.denominator), rule.window_seconds, labels, 2)
            history.add(min(above.at_ns, below.at_ns), (above.value, below.value))
            at_ns = history.last_ns
            if history.span(page.at_ns) is None:
                why = _too_few(rule.window_seconds)
            else:
                grown, by = history.increases()
                value = grown / by if by > 0 else rule.idle
                why = "" if value is not None else f"{below.head.name} did not increase in {rule.window_seconds} s"
            is_quiet = value is None
        yield Series(above.labels, value, at_ns, above.owner.pod, rule.window_seconds, why=why, is_quiet=is_quiet)


def _of_histograms(rule: Quantile | Share, page: Page, histories: Histories) -> Iterator[Series]:
    names = tuple(f"{name}_bucket" for name in rule.histogram)
    buckets: dict[LabelSet, dict[float, Row]] = {}
    for row in page.rows(names):
        if row.head.upper_bound is not None:
            buckets.setdefault(row.head.labels, {}).setdefault(row.head.upper_bound, row)
    for labels, rows in buckets.items():
        yield _of_histogram(rule, names, labels, rows, page, histories)


def _of_histogram(
    rule: Quantile | Share,
    names: tuple[str, ...],
    labels: LabelSet,
    rows: dict[float, Row],
    page: Page,
    histories: Histories,
) -> Series:
    window, owner = rule.window_seconds, next(iter(rows.values())).owner
    bounds = tuple(sorted(rows))
    ordered = [rows[bound] for bound in bounds]
    at_ns = min(row.at_ns for row in ordered)
    value, is_quiet = None, False
    why = next((fault for row in ordered if (fault := why_missing(row))), "")
    if not why and (len(bounds) < 2 or bounds[-1] != math.inf):
        why = 'histogram without a bucket le="+Inf" and one below it'
    if not why:
        history = histories.of(names, window, (labels, bounds), len(bounds))
        history.add(at_ns, [row.value for row in ordered])
        at_ns = history.last_ns
        span = history.span(page.at_ns)
        if span is None:
            why = _too_few(window)
        else:
            rates = [span.rate(*pair) for pair in zip(history.first(), history.increases(), strict=True)]
            if isinstance(rule, Quantile):
                value = histogram_quantile(rule.quantile, bounds, rates)
            else:
                value = share_above(rule.above, bounds, rates)
            why = "" if value is not None else f"no observations in {window} s"
        is_quiet = value is None
    return Series(owner.labels, value, at_ns, owner.pod, window, why=why, is_quiet=is_quiet)


def _totals(parts: Sequence[tuple[str, ...]], page: Page) -> Iterator[Series]:
    """Of series with equal labels: of a pod with two engines one total each."""
    columns = [_by_labels(page, names) for names in parts]
    for labels in dict.fromkeys(labels for column in columns for labels in column):
        rows = [column.get(labels) for column in columns]
        there = [row for row in rows if row is not None]
        why = next((fault for row in there if (fault := why_missing(row))), "")
        if len(there) < len(rows):
            absent = next(names[0] for names, row in zip(parts, rows, strict=True) if row is None)
            why = f"{absent} has no series with these labels"
        value = None if why else sum(row.value for row in there)
        at_ns = min(row.at_ns for row in there)
        yield Series(there[0].labels, value, at_ns, there[0].owner.pod, why=why)


def _by_labels(page: Page, names: Sequence[str]) -> dict[_Labels, Row]:
    return {(row.head.labels, row.head.le): row for row in page.rows(names)}


def _parts(value: Value) -> tuple[tuple[str, ...], ...]:
    """For each series that the value is made of, its names."""
    match value:
        case Ratio(numerator, denominator):
            return numerator, denominator
        case Total(parts):
            return parts
        case _:
            return (series_names(value),)


def _too_few(window_seconds: int) -> str:
    return f"needs two samples within {window_seconds} s"
