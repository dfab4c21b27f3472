"""The Inference Gateway's endpoint picker: what it knows of the model servers of an InferencePool.

Names, types and labels: kubernetes-sigs/gateway-api-inference-extension `pkg/epp/metrics/metrics.go` and
`collectors/inference_pool.go`. Before the objective was called that, its metrics began with `inference_model_`.

The label `name` is the InferencePool's, in the picker's namespace, so that `type: Object` finds it there (API groups:
`inference.networking.k8s.io`, and its alpha `inference.networking.x-k8s.io`). Replicas of the picker tell of the same
pool: the largest counts, they never add up. As External every replica's series is an item, which the HPA adds
up: with more than one replica use Object.
"""

from adapter.sources.catalogue.metric import Metric, rate_rule, raw_rules
from adapter.sources.rule import ObjectLabel, Rule

POOL: tuple[ObjectLabel, ...] = tuple(
    ObjectLabel(resource=f"inferencepools.{group}", label="name", kind="InferencePool")
    for group in ("inference.networking.k8s.io", "inference.networking.x-k8s.io")
)


def _of_pool(name: str, unit: str) -> Metric:
    return Metric(
        name=name, kind="gauge", unit=unit, reducer="max", across="max", system="inference-gateway", objects=POOL
    )


REQUESTS = Metric(
    name="inference_objective_request_total",
    older_names=("inference_model_request_total",),
    kind="counter",
    unit="requests",
    reducer="sum",
    system="inference-gateway",
)

METRICS: tuple[Metric, ...] = (
    _of_pool("inference_pool_average_kv_cache_utilization", "ratio"),
    _of_pool("inference_pool_average_queue_size", "requests"),
    _of_pool("inference_pool_ready_pods", "pods"),
    _of_pool("inference_pool_per_pod_queue_size", "requests"),  # of an object: its longest queue
    Metric(
        name="inference_objective_running_requests",
        older_names=("inference_model_running_requests",),
        kind="gauge",
        unit="requests",
        reducer="sum",
        system="inference-gateway",
    ),
    REQUESTS,
)

RULES: tuple[Rule, ...] = (
    *raw_rules(METRICS),
    rate_rule(REQUESTS, "inference_objective_requests_per_second"),
)
