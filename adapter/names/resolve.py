"""Which rule a name in an HPA means, and how its series' labels then look.

Names, in this order:
- a rule's own name or alias, plain: `vllm:num_requests_waiting`, `vllm_queue_size`;
- the same where it is one of Cloud Monitoring's: `kubernetes.io|container|accelerator|duty_cycle`;
- `prometheus.googleapis.com|SERIES|KIND`, as Managed Service for Prometheus (GMP) stores a series: KIND is gauge,
  counter, histogram, summary, unknown or unknown:counter. Of a counter the Stackdriver adapter answers the rate
  (its query_builder.go, ALIGN_RATE), so the rule that is the rate answers. Histograms are distributions there, whose
  percentile over several pods is no function of the pods' own: not one of ours;
- `custom.googleapis.com|NAME` and `external.googleapis.com|prometheus|NAME`: the rule NAME.

External metrics come in any letter case: client-go writes a path's resource in lower case (rest/request.go, URL), and
the name is the resource there. Custom metrics' names are a subresource, which keeps its case; only SERIES within a
Stackdriver name is looked up in any, because GMP's relabelling to lower case is how DCGM's get through External.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from adapter.names.view import PLAIN, ResourceType, View
from adapter.sources.rule import Latest, Rate, Rule

_PROMETHEUS = "prometheus.googleapis.com"
_PROMETHEUS_TARGET = View("stackdriver", "prometheus_target")
_PREFIXED: Mapping[str, View] = {
    "custom.googleapis.com|": View("stackdriver", "k8s_pod"),
    "external.googleapis.com|prometheus|": View("stackdriver", "k8s_container"),
}
_RESOURCES: tuple[tuple[str, ResourceType], ...] = (
    ("kubernetes.io|container|", "k8s_container"),
    ("kubernetes.io|pod|", "k8s_pod"),
    ("kubernetes.io|node|", "k8s_node"),
    ("prometheus.googleapis.com|", "prometheus_target"),
)

_Rules: TypeAlias = dict[str, Rule]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A rule, and the view under the name by which it was asked for."""

    rule: Rule
    view: View


class NameIndex:
    """Every name of a set of rules, looked up in constant time. Immutable: make a new one for new rules."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        kept = tuple(rules)
        self._exact: dict[str, Resolved] = {}
        for rule in kept:
            for name in (rule.name, *rule.aliases):
                self._exact[name] = Resolved(rule, view_of(name))
        self._lower = {name.lower(): found for name, found in self._exact.items()}
        self._gauges: _Rules = {name: found.rule for name, found in self._lower.items() if found.view == PLAIN}
        self._rates: _Rules = {}
        for rule in kept:
            match rule.value:
                case Latest(series):
                    for name in series:
                        self._gauges.setdefault(name.lower(), rule)
                case Rate(series):
                    for age, name in enumerate(series):
                        if age == 0 or name.lower() not in self._rates:
                            self._rates[name.lower()] = rule
                case _:
                    pass

    def custom(self, name: str) -> Resolved | None:
        """The rule of a name asked for as a Pods or Object metric; None if there is none. name: percent-decoded."""
        return self._exact.get(name) or self._stackdriver(name)

    def external(self, name: str) -> Resolved | None:
        """The rule of a name asked for as an External metric, in any letter case."""
        name = name.lower()
        return self._lower.get(name) or self._stackdriver(name)

    def _stackdriver(self, name: str) -> Resolved | None:
        domain, _, rest = name.partition("|")
        if domain == _PROMETHEUS:
            series, _, kind = rest.lower().partition("|")
            rule = self._of_kind(series, kind)
            return None if rule is None else Resolved(rule, _PROMETHEUS_TARGET)
        for prefix, view in _PREFIXED.items():
            if name.startswith(prefix) and (found := self._lower.get(name.removeprefix(prefix).lower())):
                return Resolved(found.rule, view)
        return None

    def _of_kind(self, series: str, kind: str) -> Rule | None:
        match kind:
            case "counter" | "unknown:counter":
                return self._rates.get(series)
            case "gauge" | "unknown":
                return self._gauges.get(series)
            case _:
                return None


def view_of(name: str) -> View:
    """Plain, unless a name is written in Cloud Monitoring's way: a domain, and its parts behind bars."""
    domain, bar, _ = name.partition("|")
    if not bar or "." not in domain:
        return PLAIN
    lower = name.lower()
    return View("stackdriver", next((kind for prefix, kind in _RESOURCES if lower.startswith(prefix)), ""))
