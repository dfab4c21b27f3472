"""Hugging Face Text Generation Inference.

Names, types and units: huggingface/text-generation-inference `docs/source/reference/metrics.md`. Counters do not end
in `_total`, durations not in `_seconds`.
"""

from adapter.sources.catalogue.metric import Kind, Metric, quantile_rule, rate_rule, raw_rules
from adapter.sources.rule import Rule, Total


def _metric(name: str, kind: Kind, unit: str) -> Metric:
    return Metric(name=name, kind=kind, unit=unit, reducer="sum", system="tgi")


QUEUE = _metric("tgi_queue_size", "gauge", "requests")
BATCH = _metric("tgi_batch_current_size", "gauge", "requests")
REQUESTS = _metric("tgi_request_count", "counter", "requests")
SUCCESS = _metric("tgi_request_success", "counter", "requests")
DURATION = _metric("tgi_request_duration", "histogram", "seconds")

METRICS: tuple[Metric, ...] = (
    QUEUE,
    BATCH,
    REQUESTS,
    SUCCESS,
    DURATION,
    _metric("tgi_request_queue_duration", "histogram", "seconds"),
    _metric("tgi_request_mean_time_per_token_duration", "histogram", "seconds"),
)

RULES: tuple[Rule, ...] = (
    *raw_rules(METRICS),
    Rule(
        name="tgi_queue_and_batch_size",
        value=Total((QUEUE.spellings, BATCH.spellings)),
        unit="requests",
        system="tgi",
    ),
    rate_rule(REQUESTS, "tgi_requests_per_second"),
    rate_rule(SUCCESS, "tgi_request_successes_per_second"),
    quantile_rule(DURATION, 0.95),
)
