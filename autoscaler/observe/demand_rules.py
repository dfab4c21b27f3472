"""The demand queries of the policies as rules over servers' metrics, by the names of the catalogue.

vLLM's names, old and new, and NIM's bare ones are one metric there. Triton, TorchServe and TGI have no counters of both
prompt and generated tokens in the catalogue, so their demand cannot be told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from adapter.sources.catalogue import RULES
from adapter.sources.catalogue.metric import Metric
from adapter.sources.catalogue.vllm import REQUEST_TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN
from adapter.sources.rule import Rate, Rule, Share
from policies.predictive.missed import TPOT_MISSED, TTFT_MISSED
from policies.serving_counters import QUERIES
from policies.snapshot import MetricQuery

MISSED_WINDOW_SECONDS = 60
MISSED_LIMIT = 64
"""Different SLO targets that are measured at a time. Each is worked out for every pod of every workload: 51 us of CPU
for a pod with 23 buckets (measured), so that 64 of them take 43 % of a core at 2,000 pods every 15 s."""

_HISTOGRAMS: Mapping[str, Metric] = {TTFT_MISSED: TIME_TO_FIRST_TOKEN, TPOT_MISSED: REQUEST_TIME_PER_OUTPUT_TOKEN}
_RULES = {rule.name: rule for rule in RULES}

COUNTER_RULES: Mapping[MetricQuery, Rule] = {query: _RULES[query.name] for query in QUERIES}
"""The counters of a server that belong together; a pod counts with all of them or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedRules:
    """Shares of pods are put together by how many requests each of them answered.

    share: of a server's last minute of observations above the target, 0..1. answered: observations per second.
    """

    share: Rule
    answered: Rule


def is_demand(query: MetricQuery) -> bool:
    """Whether servers' own metrics answer this query; others are asked of the metrics APIs."""
    return query in COUNTER_RULES or (query.type == "External" and query.name in _HISTOGRAMS)


@lru_cache(maxsize=1024)
def missed_rules(query: MetricQuery) -> MissedRules | None:
    """For a query of policies.predictive.missed; None for another, or for one whose target is no number."""
    metric = _HISTOGRAMS.get(query.name)
    if metric is None or query.type != "External" or [label for label, _ in query.selector] != ["le"]:
        return None
    try:
        seconds = float(query.selector[0][1])
    except ValueError:
        return None
    if not 0.0 <= seconds < float("inf"):
        return None
    window = MISSED_WINDOW_SECONDS
    return MissedRules(
        share=Rule(
            name=f"{query.name}, above {seconds:g} s",
            value=Share(metric.spellings, seconds, window),
            unit="ratio",
            system=metric.system,
            kind="histogram",
        ),
        answered=Rule(
            name=f"{query.name}, answered",
            value=Rate(tuple(f"{name}_count" for name in metric.spellings), window),
            unit="requests/s",
            system=metric.system,
            kind="histogram",
        ),
    )


def rules_for(queries: Iterable[MetricQuery]) -> tuple[Rule, ...]:
    """What to collect, each rule once: the counters, and the missed shares of the first MISSED_LIMIT targets."""
    rules = {rule.name: rule for rule in COUNTER_RULES.values()}
    for query in measured(queries):
        found = missed_rules(query)
        if found is not None:
            rules |= {found.share.name: found.share, found.answered.name: found.answered}
    return tuple(rules.values())


def measured(queries: Iterable[MetricQuery]) -> tuple[MetricQuery, ...]:
    """Of these the missed shares that are measured, in an order that does not depend on who asks first."""
    missed = {query for query in queries if missed_rules(query) is not None}
    return tuple(sorted(missed, key=lambda query: (query.name, query.selector))[:MISSED_LIMIT])
