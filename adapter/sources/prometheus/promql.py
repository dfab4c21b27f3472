"""A rule as one PromQL query about all pods, whose answer says when each value was true.

An instant query answers with the time of the evaluation, not of the sample, so a sample of four minutes ago looks
new. Two ways around that, both within one query:

- The newest sample: a range selector, `x[120s]`. Its answer holds the raw samples with their own times, and the
  newest is taken. `{__name__=~"new|old"}[120s]` finds the spellings of all versions of an exporter.
- Rates, ratios, quantiles, totals: `VALUE or label_replace(min by (...) (timestamp(x)), ...)`, which marks the rows
  after the `or` with a label. They say when the newest sample behind their pod's values was taken: the oldest of
  several, because a sum is as old as its oldest part.

Measured on Prometheus 2.42 with 1,000 pods scraped every 5 s, CPU of Prometheus a query on a busy machine: a gauge's
bare selector 11 to 18 ms, `x[120s]` (24 samples a series) 17 to 31 ms, paired with its time 29 to 51 ms; a rate 17 to
22 ms alone and 40 to 72 ms paired; a 95th percentile over nine buckets 140 to 159 ms alone and 158 to 192 ms paired. A
second query for the times would cost the same, and its answer could be of another moment than the values'.

Google's managed service matches metric names exactly only
(cloud.google.com/stackdriver/docs/managed-prometheus/promql-differences), so there `new or on (...) old`, paired, takes
the range selector's place.

Shares of a histogram are worked out here, from its buckets' rates: histogram_fraction knows classic histograms since
Prometheus 3.4 only, and some compatible backends not at all. The answer is as many times longer as there are buckets.

Rates are Prometheus' own: a counter whose first sample lies within the window is taken to have begun there, so in a
pod's first window_seconds its rate is told too low.

Ratios, quantiles and totals are of series with equal labels, one of each engine or model of a pod, as they are where
pages are scraped directly: then a value stays what it is when its source changes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Rule, Share, Total

PART = "leadtime_part"
"""Label that tells the rows with times, "time", from those with values, which lack it."""

IDENTITY = ("namespace", "pod", "exported_namespace", "exported_pod", "job", "instance")
"""Labels by which a value finds its time: whose it is, and from which target."""

_BY = f"({', '.join(IDENTITY)})"
_NAME = re.compile(r"(?!(?i:nan|inf)$)[a-zA-Z_:][a-zA-Z0-9_:]*")  # which PromQL reads as numbers
_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`"
_SELECTOR = re.compile(rf"\s*(?:[a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?:\{{(?:[^{{}}\"'`]|{_STRING})*\}})?\s*")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for one rule.

    window_seconds: that the values look back over; 0 for the newest sample.
    names: spellings of the series, the one to prefer first; () where any name will do.
    timed: whether rows with times belong to those with values. Without them a row's own time counts: the sample's
        in the answer to a range selector, the evaluation's in the answer to a query of the user's own.
    idle: the value of a ratio in whose window nothing happened, which is NaN in the answer; None for none.
    share_above: rows are a histogram's buckets, of which the share of observations above this bound is the value.
    """

    promql: str
    window_seconds: int = 0
    names: tuple[str, ...] = ()
    timed: bool = False
    idle: float | None = None
    share_above: float | None = None


def query_of(
    rule: Rule, *, matchers: Mapping[str, str], lookback_seconds: int, exact_names: bool = False
) -> Query | None:
    """The rule's query; None for a rule that says nothing Prometheus could be asked for.

    matchers: label -> value that every selector is narrowed to. exact_names: for a backend that does not match
    names by a regular expression.
    """
    if rule.prometheus_query:
        return _own(rule.prometheus_query, lookback_seconds)
    match rule.value:
        case Latest(()):
            return None
        case Latest(series) if not exact_names and all("/" in name for name in series):
            return None  # a type of Cloud Monitoring, which only Google's own PromQL knows
        case Latest(series) if exact_names:
            return _paired(_either(_newest, series, matchers), series, matchers, 0)
        case Latest(series):
            return Query(f"{selector(series, matchers)}[{lookback_seconds}s]", names=series)
        case Rate(series, window):
            return _paired(_either(_rate_over(window), series, matchers), series, matchers, window)
        case Ratio(above, below, window, idle):
            rates = [_either(_rate_over(window), names, matchers) for names in (above, below)]
            return replace(_paired(" / ".join(rates), above, matchers, window), idle=idle)
        case Quantile(histogram, quantile, window):
            buckets = tuple(f"{name}_bucket" for name in histogram)
            rates_by_le = _either(_rate_over(window), buckets, matchers)
            value = f"histogram_quantile({quantile!r}, {rates_by_le})"
            return _paired(value, buckets, {**matchers, "le": "+Inf"}, window)
        case Share(histogram, above, window):
            buckets = tuple(f"{name}_bucket" for name in histogram)
            rates_by_le = _either(_rate_over(window), buckets, matchers)
            query = _paired(rates_by_le, buckets, {**matchers, "le": "+Inf"}, window)
            return replace(query, share_above=above)
        case Total(parts):
            # All parts are of one page, their labels being equal, and the first one's time is everyone's.
            value = " + ".join(_either(_newest, part, matchers) for part in parts)
            return _paired(value, parts[0], matchers, 0)


def selector(names: tuple[str, ...], matchers: Mapping[str, str]) -> str:
    """An instant vector selector of the series of any of the names whose labels equal the matchers'."""
    pairs = [f"{label}={quoted(value)}" for label, value in sorted(matchers.items())]
    if len(names) == 1 and _NAME.fullmatch(names[0]):
        return names[0] + (f"{{{', '.join(pairs)}}}" if pairs else "")
    by_name = (
        f"__name__={quoted(names[0])}"
        if len(names) == 1
        else f"__name__=~{quoted('|'.join(re.escape(name) for name in names))}"
    )
    return f"{{{', '.join([by_name, *pairs])}}}"


def quoted(value: str) -> str:
    r"""A PromQL string literal of the value: Go's rules, so `\`, `"` and control characters are escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\x{ord(c):02x}" for c in escaped) + '"'


def _own(promql: str, lookback_seconds: int) -> Query:
    """A user's query: a plain selector gets true times, anything else the evaluation's."""
    if promql.strip() and _SELECTOR.fullmatch(promql):
        return Query(f"{promql.strip()}[{lookback_seconds}s]")
    return Query(promql)


def _paired(value: str, names: tuple[str, ...], matchers: Mapping[str, str], window_seconds: int) -> Query:
    """The value's rows, then for each identity when the newest samples of the named series were taken."""
    times = f"min by {_BY} ({_either(_timestamp, names, matchers)})"
    return Query(f'{value} or label_replace({times}, "{PART}", "time", "", "")', window_seconds, timed=True)


def _either(function: Callable[[str], str], names: tuple[str, ...], matchers: Mapping[str, str]) -> str:
    """The function of the series of the first of the names that an identity has any of."""
    each = [function(selector((name,), matchers)) for name in names]
    return each[0] if len(each) == 1 else f"({f' or on {_BY} '.join(each)})"


def _newest(selected: str) -> str:
    return selected


def _timestamp(selected: str) -> str:
    return f"timestamp({selected})"


def _rate_over(window_seconds: int) -> Callable[[str], str]:
    return lambda selected: f"rate({selected}[{window_seconds}s])"
