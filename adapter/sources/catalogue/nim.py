"""NVIDIA NIM for LLMs: what it has beside vLLM's metrics (those are in vllm.py, with NIM's bare spellings).

Names: docs.nvidia.com "Observability for NVIDIA NIM for LLMs" (`/v1/metrics`). Not found in NVIDIA's documentation,
only in guides to NIM in public repositories: `nim_requests_total`, `nim_active_requests` and
`nim_tokens_generated_total`; they are looked for all the same, and are absent where NIM does not write them.
"""

from adapter.sources.catalogue.metric import Kind, Metric, rate_rule, raw_rules
from adapter.sources.catalogue.vllm import REQUEST_SUCCESS
from adapter.sources.rule import Rule


def _metric(name: str, kind: Kind, unit: str) -> Metric:
    return Metric(name=name, kind=kind, unit=unit, reducer="sum", system="nim")


REQUESTS = _metric("nim_requests_total", "counter", "requests")
TOKENS = _metric("nim_tokens_generated_total", "counter", "tokens")
FINISHED = _metric("request_finish_total", "counter", "requests")
FAILED = _metric("request_failure_total", "counter", "requests")

METRICS: tuple[Metric, ...] = (
    REQUESTS,
    TOKENS,
    FINISHED,
    FAILED,
    _metric("nim_active_requests", "gauge", "requests"),
    _metric("num_request_max", "gauge", "requests"),
)

RULES: tuple[Rule, ...] = (
    *raw_rules(METRICS),
    rate_rule(
        REQUESTS,
        "nim_requests_per_second",
        aliases=("nim_request_rate",),
        series=(*FINISHED.spellings, *reversed(REQUEST_SUCCESS.spellings)),
    ),
    rate_rule(TOKENS, "nim_tokens_generated_per_second"),
    rate_rule(FAILED, "nim_request_failures_per_second"),
)
