"""NVIDIA Triton Inference Server.

Names, types and units: triton-inference-server/server `docs/user_guide/metrics.md`. Counters do not end in `_total`
there. `nv_inference_pending_request_count` came later than the version of that file that was read; seen in
public configurations only.

`avg_time_queue_us` is what NVIDIA's guide to Triton's horizontal scaling calls queue time per request (there over
30 s; here over 60 s), `triton:queue_compute:ratio` the recording rule of its later tutorial.
"""

from adapter.sources.catalogue.metric import RATE_WINDOW_SECONDS, Kind, Metric, rate_rule, raw_rules
from adapter.sources.rule import Ratio, Reducer, Rule


def _metric(name: str, kind: Kind, unit: str, reducer: Reducer = "sum") -> Metric:
    return Metric(name=name, kind=kind, unit=unit, reducer=reducer, system="triton")


REQUEST_SUCCESS = _metric("nv_inference_request_success", "counter", "requests")
REQUEST_FAILURE = _metric("nv_inference_request_failure", "counter", "requests")
INFERENCES = _metric("nv_inference_count", "counter", "inferences")
EXECUTIONS = _metric("nv_inference_exec_count", "counter", "executions")
REQUEST_DURATION = _metric("nv_inference_request_duration_us", "counter", "microseconds")
QUEUE_DURATION = _metric("nv_inference_queue_duration_us", "counter", "microseconds")
COMPUTE_DURATION = _metric("nv_inference_compute_infer_duration_us", "counter", "microseconds")

METRICS: tuple[Metric, ...] = (
    REQUEST_SUCCESS,
    REQUEST_FAILURE,
    INFERENCES,
    EXECUTIONS,
    REQUEST_DURATION,
    QUEUE_DURATION,
    COMPUTE_DURATION,
    _metric("nv_inference_pending_request_count", "gauge", "requests"),
    _metric("nv_gpu_utilization", "gauge", "ratio", "mean"),
    _metric("nv_gpu_memory_used_bytes", "gauge", "bytes"),
    _metric("nv_gpu_memory_total_bytes", "gauge", "bytes"),
    _metric("nv_gpu_power_usage", "gauge", "watts"),
)


def _per(name: str, above: Metric, below: Metric, unit: str, alias: str) -> Rule:
    """Models of one server are averaged, each counting once, and so are pods.

    An idle server's is 0, as in NVIDIA's own rule (delta(queue) / (1 + delta(success))): without a value the HPA would
    never scale an idle fleet down.
    """
    return Rule(
        name=name,
        aliases=(alias,),
        value=Ratio(above.spellings, below.spellings, RATE_WINDOW_SECONDS, idle=0.0),
        unit=unit,
        system="triton",
        reducer="mean",
        across="mean",
    )


RULES: tuple[Rule, ...] = (
    *raw_rules(METRICS),
    rate_rule(QUEUE_DURATION, "nv_inference_queue_duration_us_per_second"),
    rate_rule(REQUEST_DURATION, "nv_inference_request_duration_us_per_second"),
    rate_rule(REQUEST_SUCCESS, "nv_inference_requests_per_second", aliases=("triton_requests_per_second",)),
    rate_rule(REQUEST_FAILURE, "nv_inference_request_failures_per_second"),
    rate_rule(INFERENCES, "nv_inferences_per_second"),
    _per(
        "nv_inference_queue_duration_us_per_request",
        QUEUE_DURATION,
        REQUEST_SUCCESS,
        "microseconds",
        "avg_time_queue_us",
    ),
    _per("nv_inference_queue_compute_ratio", QUEUE_DURATION, COMPUTE_DURATION, "ratio", "triton:queue_compute:ratio"),
)
