"""vLLM, and NVIDIA NIM for LLMs 1.x, which writes vLLM's metrics without `vllm:`.

Names and units: vLLM `vllm/v1/metrics/loggers.py` (0.9 to 0.12) and docs.vllm.ai "Production Metrics" (its newest
release has the same). `gpu_cache_usage_perc` became `kv_cache_usage_perc` in 0.9.2, and the prefix cache's counters
lost their `gpu_` too; `time_per_output_token_seconds` became `inter_token_latency_seconds` in 0.11, while
`request_time_per_output_token_seconds` is another quantity: one observation a request. NIM's bare names:
docs.nvidia.com "Observability for NVIDIA NIM for LLMs"; later NIM releases write vLLM's own.

Aliases are what HPAs and prometheus-adapter configurations in public repositories call them.
"""

from adapter.sources.catalogue.metric import Metric, quantile_rule, rate_rule, raw_rules, without_colon
from adapter.sources.rule import Rule, Total

WAITING = Metric(
    name="vllm:num_requests_waiting",
    older_names=("num_requests_waiting",),
    aliases=("vllm_queue_size", "vllm_queue_depth", "vllm_queue_length"),
    kind="gauge",
    unit="requests",
    reducer="sum",
    system="vllm",
)
RUNNING = Metric(
    name="vllm:num_requests_running",
    older_names=("num_requests_running",),
    aliases=("vllm_batch_size",),
    kind="gauge",
    unit="requests",
    reducer="sum",
    system="vllm",
)
KV_CACHE_USAGE = Metric(
    name="vllm:kv_cache_usage_perc",
    older_names=("vllm:gpu_cache_usage_perc", "gpu_cache_usage_perc"),
    kind="gauge",
    unit="ratio",  # 0..1, in spite of the name
    reducer="mean",
    system="vllm",
)
PROMPT_TOKENS = Metric(
    name="vllm:prompt_tokens_total",
    older_names=("prompt_tokens_total",),
    kind="counter",
    unit="tokens",
    reducer="sum",
    system="vllm",
)
GENERATION_TOKENS = Metric(
    name="vllm:generation_tokens_total",
    older_names=("generation_tokens_total",),
    kind="counter",
    unit="tokens",
    reducer="sum",
    system="vllm",
)
REQUEST_SUCCESS = Metric(
    name="vllm:request_success_total",
    older_names=("request_success_total",),
    kind="counter",
    unit="requests",
    reducer="sum",
    system="vllm",
)
PREEMPTIONS = Metric(
    name="vllm:num_preemptions_total", kind="counter", unit="preemptions", reducer="sum", system="vllm"
)
PREFIX_CACHE_QUERIES = Metric(
    name="vllm:prefix_cache_queries_total",
    older_names=("vllm:gpu_prefix_cache_queries_total",),
    kind="counter",
    unit="tokens",
    reducer="sum",
    system="vllm",
)
PREFIX_CACHE_HITS = Metric(
    name="vllm:prefix_cache_hits_total",
    older_names=("vllm:gpu_prefix_cache_hits_total",),
    kind="counter",
    unit="tokens",
    reducer="sum",
    system="vllm",
)
TIME_TO_FIRST_TOKEN = Metric(
    name="vllm:time_to_first_token_seconds",
    older_names=("time_to_first_token_seconds",),
    kind="histogram",
    unit="seconds",
    reducer="sum",
    system="vllm",
)
REQUEST_TIME_PER_OUTPUT_TOKEN = Metric(
    name="vllm:request_time_per_output_token_seconds", kind="histogram", unit="seconds", reducer="sum", system="vllm"
)
INTER_TOKEN_LATENCY = Metric(
    name="vllm:inter_token_latency_seconds",
    older_names=("vllm:time_per_output_token_seconds", "time_per_output_token_seconds"),
    kind="histogram",
    unit="seconds",
    reducer="sum",
    system="vllm",
)
E2E_LATENCY = Metric(
    name="vllm:e2e_request_latency_seconds",
    older_names=("e2e_request_latency_seconds",),
    kind="histogram",
    unit="seconds",
    reducer="sum",
    system="vllm",
)
QUEUE_TIME = Metric(
    name="vllm:request_queue_time_seconds", kind="histogram", unit="seconds", reducer="sum", system="vllm"
)

METRICS: tuple[Metric, ...] = (
    WAITING,
    RUNNING,
    KV_CACHE_USAGE,
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    REQUEST_SUCCESS,
    PREEMPTIONS,
    PREFIX_CACHE_QUERIES,
    PREFIX_CACHE_HITS,
    TIME_TO_FIRST_TOKEN,
    REQUEST_TIME_PER_OUTPUT_TOKEN,
    INTER_TOKEN_LATENCY,
    E2E_LATENCY,
    QUEUE_TIME,
)


RULES: tuple[Rule, ...] = tuple(
    without_colon(rule)
    for rule in (
        *raw_rules(METRICS),
        Rule(
            name="vllm:num_requests_running_and_waiting",
            aliases=("num_requests_running_and_waiting",),
            value=Total((RUNNING.spellings, WAITING.spellings)),
            unit="requests",
            system="vllm",
        ),
        rate_rule(REQUEST_SUCCESS, "vllm:requests_per_second"),
        rate_rule(PROMPT_TOKENS, "vllm:prompt_tokens_per_second"),
        rate_rule(GENERATION_TOKENS, "vllm:generation_tokens_per_second"),
        rate_rule(PREEMPTIONS, "vllm:preemptions_per_second"),
        quantile_rule(TIME_TO_FIRST_TOKEN, 0.95),
        quantile_rule(INTER_TOKEN_LATENCY, 0.95),
        quantile_rule(E2E_LATENCY, 0.95),
    )
)
"""Of the quantiles only p95: each is a query of its own over every bucket. Others are four lines in a rules file."""
