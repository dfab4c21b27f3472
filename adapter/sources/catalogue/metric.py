"""One metric as an exporter writes it, and the rule that serves it as it is."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from adapter.sources.rule import Latest, ObjectLabel, Quantile, Rate, Reducer, Rule

Kind = Literal["gauge", "counter", "histogram"]
System = Literal[
    "vllm",
    "dcgm",
    "gke",
    "triton",
    "torchserve",
    "nim",
    "tgi",
    "sglang",
    "inference-gateway",
    "leadtime",
    "application",
]

RATE_WINDOW_SECONDS = 60
"""Four samples at the default interval of 15 s, so that one lost scrape does not lose the rate. The Stackdriver adapter
aligns its rates over 60 s too (query_builder.go, ALIGN_RATE)."""

QUANTILE_WINDOW_SECONDS = 120
"""Twice the rates' window: a p95 needs twenty requests before its rank lies below the slowest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of one system.

    name: as the exporter spells it today; of a histogram, the name without `_bucket`, `_sum`, `_count`.
    older_names: other spellings of exporters for the same quantity, the newest first.
    aliases: what users call it; no exporter writes these.
    unit: as on the wire (percent stays percent); of a histogram, the unit of one observation.
    reducer: how several series of one pod become the pod's one value. across: and several pods' an object's.
    objects: what else its series describe.
    """

    name: str
    older_names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    kind: Kind
    unit: str
    reducer: Reducer
    across: Reducer | None = None
    system: System
    objects: tuple[ObjectLabel, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name that an exporter writes, the current one first."""
        return (self.name, *self.older_names)


def raw_rules(metrics: Iterable[Metric]) -> tuple[Rule, ...]:
    """Gauges and counters as they are; of a histogram nothing: its sum and count alone are no target."""
    return tuple(
        Rule(
            name=metric.name,
            aliases=metric.older_names + metric.aliases,
            value=Latest(metric.spellings),
            kind=metric.kind,
            unit=metric.unit,
            system=metric.system,
            reducer=metric.reducer,
            across=metric.across or metric.reducer,
            objects=metric.objects,
        )
        for metric in metrics
        if metric.kind != "histogram"
    )


def rate_rule(
    metric: Metric, name: str, *, aliases: tuple[str, ...] = (), series: tuple[str, ...] = (), unit: str = ""
) -> Rule:
    """A counter's increase per second. series: further counters of the same quantity, older than the metric's own."""
    return Rule(
        name=name,
        aliases=aliases,
        value=Rate(metric.spellings + series, RATE_WINDOW_SECONDS),
        unit=unit or f"{metric.unit}/s",
        system=metric.system,
        objects=metric.objects,
    )


def quantile_rule(metric: Metric, quantile: float, *, aliases: tuple[str, ...] = ()) -> Rule:
    """A quantile of a histogram, named `<histogram>_p95`.

    Quantiles of several engines or pods cannot be put together exactly: the slowest counts.
    """
    return Rule(
        name=f"{metric.name}_p{quantile * 100:g}",
        aliases=aliases,
        value=Quantile(metric.spellings, quantile, QUANTILE_WINDOW_SECONDS),
        unit=metric.unit,
        system=metric.system,
        reducer="max",
        across="max",
    )


def without_colon(rule: Rule) -> Rule:
    """`vllm_num_requests_waiting` beside `vllm:num_requests_waiting`: users' usual renaming."""
    return replace(rule, aliases=(*rule.aliases, rule.name.replace(":", "_")))
