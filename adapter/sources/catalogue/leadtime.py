"""leadtime's own controller, mode Metric: how many replicas a PredictiveAutoscaler's workload needs.

Its page is about workloads of all namespaces, so every namespace may read it. Anyone may write such a line on a page:
an HPA trusts the controller's by the selector `namespace: leadtime-system`, the namespace of the pod whose page it is;
the workload's is `exported_namespace` (manifests/examples/hpa-predictive.yaml).
"""

from dataclasses import replace

from adapter.sources.catalogue.metric import Metric, raw_rules
from adapter.sources.rule import Rule

METRICS: tuple[Metric, ...] = (
    Metric(
        name="leadtime_needed_replicas",
        kind="gauge",
        unit="replicas",
        reducer="max",  # a pod speaks of many workloads: without a selector that is nobody's need, and no sum of them
        system="leadtime",
    ),
)

RULES: tuple[Rule, ...] = tuple(
    replace(rule, visible_to=("*",), max_age_seconds=45.0)  # three collections: an HPA that has no value holds
    for rule in raw_rules(METRICS)
)
