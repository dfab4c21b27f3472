"""Hugging Face Text Generation Inference.

Names, types and units: huggingface/text-generation-inference `docs/source/reference/metrics.md`. Counters do not end
in `_total`, durations not in `_seconds`. When they are written: `router/src/server.rs`, `router/src/validation.rs`,
`backends/v3/src/backend.rs` and `queue.rs` (3.x):

- `tgi_request_success` and `tgi_request_generated_tokens` when an answer is complete; a request that failed, or whose
  client left, is in neither. `tgi_request_input_length` when a request comes, before it waits.
- `tgi_request_mean_time_per_token_duration` is the time from a request's first batch to its end, over its tokens: the
  prefill is in it, so it is no TPOT.
- A series is absent before its first event: a new replica shows none until its first request.
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
INPUT_LENGTH = _metric("tgi_request_input_length", "histogram", "tokens")
GENERATED_TOKENS = _metric("tgi_request_generated_tokens", "histogram", "tokens")

METRICS: tuple[Metric, ...] = (
    QUEUE,
    BATCH,
    REQUESTS,
    SUCCESS,
    DURATION,
    INPUT_LENGTH,
    GENERATED_TOKENS,
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
