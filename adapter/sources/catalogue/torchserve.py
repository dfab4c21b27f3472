"""TorchServe.

Names, types and units: pytorch/serve `ts/configs/metrics.yaml` (metrics_mode=prometheus). Counters begin with `ts_`,
gauges have bare names; QueueTime and the utilizations are of the whole host or of one device.
`torchserve_requests_per_second` is no series of TorchServe: it is what HPAs for it call the request rate.
"""

from adapter.sources.catalogue.metric import RATE_WINDOW_SECONDS, Kind, Metric, rate_rule, raw_rules
from adapter.sources.rule import Ratio, Reducer, Rule


def _metric(name: str, kind: Kind, unit: str, reducer: Reducer = "sum") -> Metric:
    return Metric(name=name, kind=kind, unit=unit, reducer=reducer, system="torchserve")


REQUESTS = _metric("ts_inference_requests_total", "counter", "requests")
INFERENCE_LATENCY = _metric("ts_inference_latency_microseconds", "counter", "microseconds")
QUEUE_LATENCY = _metric("ts_queue_latency_microseconds", "counter", "microseconds")

METRICS: tuple[Metric, ...] = (
    REQUESTS,
    INFERENCE_LATENCY,
    QUEUE_LATENCY,
    _metric("QueueTime", "gauge", "milliseconds", "mean"),
    _metric("GPUUtilization", "gauge", "percent", "mean"),
    _metric("GPUMemoryUtilization", "gauge", "percent", "mean"),
    _metric("GPUMemoryUsed", "gauge", "megabytes"),
)


def _per_request(name: str, metric: Metric) -> Rule:
    return Rule(
        name=name,
        value=Ratio(metric.spellings, REQUESTS.spellings, RATE_WINDOW_SECONDS),
        unit="microseconds",
        system="torchserve",
        reducer="mean",
        across="mean",
    )


RULES: tuple[Rule, ...] = (
    *raw_rules(METRICS),
    rate_rule(REQUESTS, "torchserve_requests_per_second", aliases=("ts_inference_requests_per_second",)),
    rate_rule(QUEUE_LATENCY, "ts_queue_latency_microseconds_per_second"),
    rate_rule(INFERENCE_LATENCY, "ts_inference_latency_microseconds_per_second"),
    _per_request("ts_queue_latency_microseconds_per_request", QUEUE_LATENCY),
    _per_request("ts_inference_latency_microseconds_per_request", INFERENCE_LATENCY),
)
