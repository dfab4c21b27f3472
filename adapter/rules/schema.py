"""What people write in a file of rules.

apiVersion: adapter.leadtime.dev/v1alpha1
kind: MetricRules
disable: [tgi_queue_size]
rules:
- name: my_queue_per_request
  ratio: {numerator: my_queue_seconds_total, denominator: my_requests_total, windowSeconds: 60}
  reducer: mean
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from adapter.sources.reducers import OF_NUMBERS
from adapter.sources.rule import (
    CloudQuery,
    Latest,
    ObjectLabel,
    Quantile,
    Rate,
    Ratio,
    Reducer,
    Rule,
    Share,
    Total,
    Value,
    WhenStale,
)
from adapter.sources.section import Section

_SERIES = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,254}")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:.|-]{0,252}")
_RESOURCE = re.compile(r"[a-z][a-z0-9]*(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,254}")
_NAMESPACE = re.compile(r"\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

FORMS = ("latest", "rate", "ratio", "quantile", "share", "total")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(check)


def _listed(value: object) -> object:
    """One name may be written without its list."""
    return [value] if isinstance(value, str) else value


Name = Annotated[
    str, _matching(_NAME, "1 to 253 of letters, digits, _, :, ., | and -, beginning with a letter or _")
]  # fmt: skip
"""A metric's name in an HPA. `/` and `%` cannot stand in the path that asks for it: write `|` for `/`."""
SeriesName = Annotated[
    str, _matching(_SERIES, "a series' name: letters, digits, _ and :, not beginning with a digit")
]  # fmt: skip
SeriesNames = Annotated[tuple[SeriesName, ...], BeforeValidator(_listed), Field(min_length=1, max_length=20)]
"""Spellings of one series, the current one first: where a page has several, the first counts."""
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(max_length=50)]
WindowSeconds = Annotated[int, Field(ge=15, le=3600)]
"""Seconds. 60 by default: four samples at the default interval of 15 s, so that one lost scrape loses no rate."""


class LatestSection(Section):
    """The newest sample."""

    series: SeriesNames


class RateSection(Section):
    """A counter's increase per second."""

    series: SeriesNames
    window_seconds: WindowSeconds = 60


class RatioSection(Section):
    """Increase of one counter per increase of another."""

    numerator: SeriesNames
    denominator: SeriesNames
    window_seconds: WindowSeconds = 60
    idle: float | None = None
    """The value while the denominator does not increase; none by default, because a stuck server looks the same."""


class QuantileSection(Section):
    """A quantile of a histogram's observations."""

    histogram: SeriesNames
    """Without `_bucket`."""
    quantile: float = Field(gt=0.0, lt=1.0)
    """0..1, exclusive; 0.95 is p95. Of 0 and 1 a histogram knows only the bucket's edge."""
    window_seconds: WindowSeconds = 120
    """Seconds. 120 by default: a p95 needs twenty observations before its rank lies below the slowest."""


class ShareSection(Section):
    """The share (0..1) of a histogram's observations above a bound: of requests, those that missed an SLO."""

    histogram: SeriesNames
    """Without `_bucket`."""
    above: float = Field(ge=0.0, allow_inf_nan=False)
    """The bound, in the histogram's unit: seconds for a latency. Exact at a bucket's edge, linear in between."""
    window_seconds: WindowSeconds = 60


class TotalSection(Section):
    """The sum of the newest samples of several series of a pod."""

    parts: Annotated[tuple[SeriesNames, ...], Field(min_length=2, max_length=20)]


class WhenStaleSection(Section):
    """What is answered for a series beyond its max age."""

    policy: Literal["omit", "hold", "notFound", "unavailable"] = "omit"
    hold_seconds: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0
    """Seconds, for `hold` only; at most a day."""

    @model_validator(mode="after")
    def _holds_for_a_time(self) -> "WhenStaleSection":
        if (self.policy == "hold") != (self.hold_seconds > 0.0):
            raise ValueError(
                f"holdSeconds: was {self.hold_seconds:g} with policy {self.policy}, must be above 0 for hold and "
                "absent for the others; give both or neither"
            )
        return self

    def to_when_stale(self) -> WhenStale:
        return WhenStale(policy=self.policy, hold_seconds=self.hold_seconds)


class ObjectSection(Section):
    """A label whose value names an object that the series describes."""

    resource: Annotated[str, _matching(_RESOURCE, "a plural resource with its group, such as deployments.apps")]
    label: Annotated[str, _matching(_LABEL, "a label's name: letters, digits and _")]
    namespaced: bool = True
    """Whether the object lives in the series' namespace."""
    kind: str = Field("", max_length=63)
    """As in the API, such as Deployment; it is shown in answers."""


class PrometheusSection(Section):
    """How Prometheus is asked, in place of what the rule's form gives."""

    query: str = Field(min_length=1, max_length=10_000)
    """PromQL that gives one row per series, with the labels `namespace` and `pod` where it is about pods."""


class CloudMonitoringSection(Section):
    """How Cloud Monitoring is asked."""

    metric_type: str = Field(min_length=3, max_length=400, pattern=r"^[^|\s]+/\S+$")
    """With slashes: `pubsub.googleapis.com/subscription/num_undelivered_messages`."""
    filter: str = Field("", max_length=2_000)
    """Further terms of a monitoring filter, joined by AND."""
    reducer: str = ""
    """REDUCE_* across series; "" for none. Series that are reduced there belong to no pod any more; those of workloads
    are reduced namespace by namespace, and all together only where the rule says visibleTo."""
    resource_type: str = Field("", max_length=100)
    """Of the monitored resource; "" for any."""

    @model_validator(mode="after")
    def _reduces_numbers(self) -> "CloudMonitoringSection":
        if self.reducer and self.reducer not in OF_NUMBERS:
            raise ValueError(
                f"reducer: was {self.reducer!r}, must be one of {', '.join(sorted(OF_NUMBERS))}; correct it"
            )
        return self


class RuleSection(Section):
    """One metric."""

    name: Name
    """What an HPA asks for."""
    aliases: Names = ()
    """Other names of the same value."""
    override: bool = False
    """Take its names from the built-in rules that have them: a rule of the same name is replaced."""

    latest: LatestSection | None = None
    rate: RateSection | None = None
    ratio: RatioSection | None = None
    quantile: QuantileSection | None = None
    share: ShareSection | None = None
    total: TotalSection | None = None

    kind: Literal["gauge", "counter", "histogram", "untyped"] = "gauge"
    """Prometheus' type of the series, which Managed Service for Prometheus puts into its name."""
    unit: str = Field("", max_length=63)
    """As on the wire; shown only."""
    reducer: Reducer = "sum"
    """Several series of one pod: counts add up; ratios and percentages need `mean`."""
    across: Reducer | None = None
    """Several pods of one object; the reducer by default."""
    max_age_seconds: float = Field(60.0, ge=1.0, le=3600.0)
    """Seconds until a sample is stale. 60: four collections at the default interval. The HPA never looks at ages."""
    when_stale: WhenStaleSection = WhenStaleSection()
    """For metrics of type Pods: the HPA counts a pod without a value with caution by itself."""
    when_stale_summed: WhenStaleSection = WhenStaleSection(policy="notFound")
    """For External and Object: the HPA adds up what it is told, so that a sum with a part missing would scale down."""
    while_loading: Literal["omit", "report"] = "omit"
    """Pods that are not Ready: left out, because a server that loads its model shows an empty queue."""
    objects: Annotated[tuple[ObjectSection, ...], Field(max_length=20)] = ()
    visible_to: Annotated[
        tuple[Annotated[str, _matching(_NAMESPACE, "a namespace's name or *")], ...],
        BeforeValidator(_listed),
        Field(max_length=1000),
    ] = ()
    """Namespaces that may read it as External beside their own; * for all. None by default: tenants are strangers."""
    sources: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(max_length=20)] = ()
    """Names of sources in order of priority; all, in the configuration's order, by default."""
    prometheus: PrometheusSection | None = None
    cloud_monitoring: CloudMonitoringSection | None = None

    @model_validator(mode="after")
    def _is_made_of_something(self) -> "RuleSection":
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) > 1:
            raise ValueError(f": was {' and '.join(given)} together, must be one of them; remove the others")
        if not given and self.prometheus is None and self.cloud_monitoring is None:
            raise ValueError(
                f": was made of nothing, must have one of {', '.join(FORMS)}, prometheus.query or "
                "cloudMonitoring.metricType; add one"
            )
        return self

    def to_rule(self, defined_at: str) -> Rule:
        """The rule. defined_at: FILE:LINE."""
        cloud = self.cloud_monitoring
        return Rule(
            name=self.name,
            aliases=self.aliases,
            value=self._value(),
            kind=self.kind,
            unit=self.unit,
            reducer=self.reducer,
            across=self.across or self.reducer,
            max_age_seconds=self.max_age_seconds,
            when_stale=self.when_stale.to_when_stale(),
            when_stale_summed=self.when_stale_summed.to_when_stale(),
            while_loading=self.while_loading,
            objects=tuple(
                ObjectLabel(resource=one.resource, label=one.label, namespaced=one.namespaced, kind=one.kind)
                for one in self.objects
            ),
            visible_to=self.visible_to,
            sources=self.sources,
            prometheus_query="" if self.prometheus is None else self.prometheus.query,
            cloud=None
            if cloud is None
            else CloudQuery(
                metric_type=cloud.metric_type,
                filter=cloud.filter,
                reducer=cloud.reducer,
                resource_type=cloud.resource_type,
            ),
            defined_at=defined_at,
        )

    def _value(self) -> Value:
        """Without a form the query is everything: for a page, the series of the rule's own name."""
        if self.rate is not None:
            return Rate(self.rate.series, self.rate.window_seconds)
        if self.ratio is not None:
            return Ratio(self.ratio.numerator, self.ratio.denominator, self.ratio.window_seconds, self.ratio.idle)
        if self.quantile is not None:
            return Quantile(self.quantile.histogram, self.quantile.quantile, self.quantile.window_seconds)
        if self.share is not None:
            return Share(self.share.histogram, self.share.above, self.share.window_seconds)
        if self.total is not None:
            return Total(self.total.parts)
        return Latest((self.name,) if self.latest is None else self.latest.series)


class RulesDocument(Section):
    """One file."""

    api_version: Literal["adapter.leadtime.dev/v1alpha1"]
    kind: Literal["MetricRules"]
    disable: Names = ()
    """Rules that are not served, by name: of the built-in ones, what a cluster does not need."""
    rules: Annotated[tuple[RuleSection, ...], Field(max_length=1000)] = ()
