"""Metrics of Cloud Monitoring that no rule names: collected as long as somebody asks for them.

The Stackdriver adapter asks Cloud Monitoring for any type at each request. Here a request only leaves word: the first
finds nothing in memory, and from the next collection on there is a value.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from adapter.names.resolve import view_of
from adapter.sources.rule import CloudQuery, Latest, Rate, Rule, Value
from adapter.sources.section import Section
from adapter.sources.series import NS_PER_SECOND

_NAME = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:\|[A-Za-z0-9_:.-]+)+")
_MAX_LENGTH = 300
"""Characters of a name: bounds what requests can leave in memory."""
_OF_WORKLOADS = (
    "prometheus.googleapis.com|",
    "kubernetes.io|",
    "custom.googleapis.com|",
    "external.googleapis.com|",
    "workload.googleapis.com|",
)
"""Types that a cluster's own pods fill: one tenant's are not another's to read."""
_DEFINED_AT = "asked for"
_RATE_WINDOW_SECONDS = 60
"""The alignment period of the Stackdriver adapter's rates (query_builder.go)."""


class OnDemandSettings(Section):
    """What requests may have collected beyond the rules."""

    max_metrics: Annotated[int, Field(ge=0, le=1000)] = 100
    """Metrics at a time; 0 for none. Each is a query of Cloud Monitoring at each of its collections."""
    expiry_seconds: Annotated[float, Field(ge=60.0, le=86_400.0)] = 3600.0
    """Seconds until a metric that nobody asks for is dropped. An hour outlasts an HPA that is being edited."""
    replaceable_after_seconds: Annotated[float, Field(ge=30.0, le=3600.0)] = 60.0
    """Seconds unasked for after which a new metric may take an old one's place once all are taken. 60: an HPA that
    still exists asks every 15 s, so that misspelled names cannot push its metric out."""


@dataclass(slots=True)
class _Entry:
    rule: Rule
    asked_at_ns: int


class OnDemand:
    """The metrics that were lately asked for. Its size is bounded by the settings."""

    def __init__(self, settings: OnDemandSettings | None = None) -> None:
        self.generation = 0
        """Grows with each rule that comes or goes."""
        self._settings = settings or OnDemandSettings()
        self._entries: dict[tuple[str, str], _Entry] = {}

    def ask(self, name: str, now_ns: int, *, reducer: str = "") -> Rule | None:
        """The rule of a name that no other rule has, from now on collected; None if there can be none.

        name: as in the request, percent-decoded. reducer: REDUCE_*, which only Cloud Monitoring itself can apply to a
        distribution; of numbers it is applied to what is in memory, and does not matter here.
        """
        key = (name, reducer if is_distribution(name) else "")
        entry = self._entries.get(key)
        if entry is None:
            rule = cloud_rule(*key)
            if rule is None or not self._has_room(now_ns):
                return None
            entry = self._entries[key] = _Entry(rule, now_ns)
            self.generation += 1
        entry.asked_at_ns = max(entry.asked_at_ns, now_ns)
        return entry.rule

    def rules(self, now_ns: int) -> tuple[Rule, ...]:
        """What is to be collected; drops what nobody has asked for in a long time."""
        limit_ns = now_ns - int(self._settings.expiry_seconds * NS_PER_SECOND)
        kept = {key: entry for key, entry in self._entries.items() if entry.asked_at_ns > limit_ns}
        self.generation += len(self._entries) - len(kept)
        self._entries = kept
        return tuple(entry.rule for entry in kept.values())

    def _has_room(self, now_ns: int) -> bool:
        """Room for one more, made if the one that was asked for longest ago may go."""
        if len(self._entries) < self._settings.max_metrics:
            return True
        limit_ns = now_ns - int(self._settings.replaceable_after_seconds * NS_PER_SECOND)
        oldest = min(self._entries, key=lambda key: self._entries[key].asked_at_ns, default=None)
        if oldest is None or self._entries[oldest].asked_at_ns > limit_ns:
            return False
        del self._entries[oldest]
        self.generation += 1
        return True


def is_on_demand(rule: Rule) -> bool:
    """Whether a rule is collected only because a request asked for it."""
    return rule.defined_at == _DEFINED_AT


def is_distribution(name: str) -> bool:
    """Whether a name is of a GMP histogram; of other types that are distributions only Cloud Monitoring knows."""
    return name.startswith("prometheus.googleapis.com|") and name.endswith(("|histogram", "|summary"))


def cloud_rule(name: str, reducer: str = "") -> Rule | None:
    """The rule of a name in Cloud Monitoring's way, `pubsub.googleapis.com|subscription|num_undelivered_messages`.

    Several series of a pod add up, as in the Stackdriver adapter: nothing is known of their unit. A GMP gauge or
    counter is found on pages and in Prometheus too, by its series' name. Google's own services' metrics belong to no
    namespace, and are visible to all.
    """
    if len(name) > _MAX_LENGTH or not _NAME.fullmatch(name):
        return None
    metric_type = name.replace("|", "/")
    value: Value = Latest((metric_type,))  # a slash: no exporter's series
    if name.startswith("prometheus.googleapis.com|"):
        series, _, kind = name.removeprefix("prometheus.googleapis.com|").partition("|")
        if kind in ("gauge", "unknown"):
            value = Latest((series,))
        elif kind in ("counter", "unknown:counter"):
            value = Rate((series,), _RATE_WINDOW_SECONDS)
    return Rule(
        name=f"{name}|{reducer}" if reducer else name,
        value=value,
        system="cloud-monitoring",
        visible_to=() if name.startswith(_OF_WORKLOADS) else ("*",),
        cloud=CloudQuery(metric_type=metric_type, reducer=reducer, resource_type=view_of(name).resource_type),
        defined_at=_DEFINED_AT,
    )
