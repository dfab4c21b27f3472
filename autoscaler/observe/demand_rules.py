"""The demand queries of the policies as rules over servers' metrics, by the names of the catalogue.

vLLM's names, old and new, and NIM's bare ones are one metric there. SGLang and TGI count the same five quantities under
names of their own; they count tokens when a request ends (TGI those of the prompt when it comes) instead of as they
are made. Triton and TorchServe count no tokens, so their demand cannot be told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from adapter.sources.catalogue import RULES, sglang, tgi, vllm
from adapter.sources.catalogue.metric import Metric
from adapter.sources.rule import Latest, Rate, Rule, Share
from policies.predictive.missed import TPOT_MISSED, TTFT_MISSED
from policies.serving_counters import GENERATION_TOKENS, PROMPT_TOKENS, QUERIES, RUNNING, SUCCEEDED, WAITING
from policies.snapshot import MetricQuery

MISSED_WINDOW_SECONDS = 60
MISSED_LIMIT = 64
"""Different SLO targets that are measured at a time. Each is worked out for every pod of every workload: 51 us of CPU
for a pod with 23 buckets (measured), so that 64 of them take 43 % of a core at 2,000 pods every 15 s."""

_HISTOGRAMS: Mapping[str, tuple[Metric, ...]] = {
    TTFT_MISSED: (vllm.TIME_TO_FIRST_TOKEN, sglang.TIME_TO_FIRST_TOKEN),
    TPOT_MISSED: (vllm.REQUEST_TIME_PER_OUTPUT_TOKEN, sglang.REQUEST_TIME_PER_OUTPUT_TOKEN),
}
"""Of each quantity the servers' own. Where a server has it not, the policy's model says what misses: TGI has no TTFT,
its mean time per token includes the prefill, and an inter-token latency is one of tokens, not of requests."""

_RULES = {rule.name: rule for rule in RULES}


def _sum_of(metric: Metric) -> Rule:
    """The sum of a histogram's observations, which is a counter."""
    return Rule(
        name=f"{metric.name}_sum",
        value=Latest(tuple(f"{name}_sum" for name in metric.spellings)),
        kind="counter",
        unit=metric.unit,
        system=metric.system,
    )


SERVER_RULES: tuple[Mapping[MetricQuery, Rule], ...] = (
    {query: _RULES[query.name] for query in QUERIES},
    {
        RUNNING: _RULES[sglang.RUNNING.name],
        WAITING: _RULES[sglang.QUEUE.name],
        SUCCEEDED: _RULES[sglang.REQUESTS.name],
        PROMPT_TOKENS: _RULES[sglang.PROMPT_TOKENS.name],
        GENERATION_TOKENS: _RULES[sglang.GENERATION_TOKENS.name],
    },
    {
        RUNNING: _RULES[tgi.BATCH.name],
        WAITING: _RULES[tgi.QUEUE.name],
        SUCCEEDED: _RULES[tgi.SUCCESS.name],
        PROMPT_TOKENS: _sum_of(tgi.INPUT_LENGTH),
        GENERATION_TOKENS: _sum_of(tgi.GENERATED_TOKENS),
    },
)
"""For each kind of server the counters that belong together, in the order of QUERIES; a pod counts with all of one kind
or not at all, and is of the first kind of which it shows running requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedRules:
    """Shares of pods are put together by how many requests each of them answered.

    share: of a server's last minute of observations above the target, 0..1. answered: observations per second.
    """

    share: Rule
    answered: Rule


def is_demand(query: MetricQuery) -> bool:
    """Whether servers' own metrics answer this query; others are asked of the metrics APIs."""
    return query in QUERIES or (query.type == "External" and query.name in _HISTOGRAMS)


def repeated_within(rule: Rule) -> str | None:
    """The label whose values are a pod's different engines, where series that differ in other labels are of the same
    requests: the largest of them counts. None where every series is of requests of its own.

    SGLang's ranks and priorities: adapter/sources/catalogue/sglang.py.
    """
    return "dp_rank" if rule.system == "sglang" and rule.kind == "gauge" else None


def begins_absent(rule: Rule) -> bool:
    """Whether the counter is on no page before it was first counted: a new server that shows others of its series, but
    not this one, has counted nothing.

    Both are made of labels that are known with a request only: adapter/sources/catalogue/sglang.py, tgi.py.
    """
    return rule.system in ("sglang", "tgi") and rule.kind == "counter"


def is_measured(query: MetricQuery, labels: Mapping[str, str]) -> bool:
    """Whether a histogram's series with these labels says what the query asks for.

    SGLang observes the first token of an answer that is not streamed with its fiftieth.
    """
    return query.name != TTFT_MISSED or labels.get("is_streaming") != "false"


@lru_cache(maxsize=1024)
def missed_rules(query: MetricQuery) -> MissedRules | None:
    """For a query of policies.predictive.missed; None for another, or for one whose target is no number."""
    metrics = _HISTOGRAMS.get(query.name)
    if metrics is None or query.type != "External" or [label for label, _ in query.selector] != ["le"]:
        return None
    try:
        seconds = float(query.selector[0][1])
    except ValueError:
        return None
    if not 0.0 <= seconds < float("inf"):
        return None
    window, spellings = MISSED_WINDOW_SECONDS, tuple(name for metric in metrics for name in metric.spellings)
    return MissedRules(
        share=Rule(
            name=f"{query.name}, above {seconds:g} s",
            value=Share(spellings, seconds, window),
            unit="ratio",
            kind="histogram",
        ),
        answered=Rule(
            name=f"{query.name}, answered",
            value=Rate(tuple(f"{name}_count" for name in spellings), window),
            unit="requests/s",
            kind="histogram",
        ),
    )


def rules_for(queries: Iterable[MetricQuery]) -> tuple[Rule, ...]:
    """What to collect, each rule once: the counters, and the missed shares of the first MISSED_LIMIT targets."""
    rules = {rule.name: rule for counters in SERVER_RULES for rule in counters.values()}
    for query in measured(queries):
        found = missed_rules(query)
        if found is not None:
            rules |= {found.share.name: found.share, found.answered.name: found.answered}
    return tuple(rules.values())


def measured(queries: Iterable[MetricQuery]) -> tuple[MetricQuery, ...]:
    """Of these the missed shares that are measured, in an order that does not depend on who asks first."""
    missed = {query for query in queries if missed_rules(query) is not None}
    return tuple(sorted(missed, key=lambda query: (query.name, query.selector))[:MISSED_LIMIT])
