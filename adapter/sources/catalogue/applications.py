"""Names that applications commonly export themselves. Gauges, in the unit that the name says."""

from adapter.sources.catalogue.metric import Metric, raw_rules
from adapter.sources.rule import Rule

METRICS: tuple[Metric, ...] = (
    Metric(name="requests_per_second", kind="gauge", unit="requests/s", reducer="sum", system="application"),
    Metric(name="model_latency_ms", kind="gauge", unit="milliseconds", reducer="mean", system="application"),
)

RULES: tuple[Rule, ...] = raw_rules(METRICS)
