"""SGLang, whose page exists only with `--enable-metrics`.

Names, types, units and labels: sgl-project/sglang `python/sglang/srt/metrics/collector.py`, which has become
`python/sglang/srt/observability/metrics_collector.py`, and docs.sglang.io "Production Metrics".
`time_per_output_token_seconds` became `inter_token_latency_seconds` (pull requests 3988 and 4914); neither has one
observation a request. `request_time_per_output_token_seconds` has, in development versions whose tests name it.

- Gauges: the scheduler writes them at each prefill and each 40 decode steps (`--decode-log-interval`), and 30 s after
  the last of these where it has nothing to do, with the labels `tp_rank`, `pp_rank`, `moe_ep_rank` and, with data
  parallelism, `dp_rank`. Of a tensor-parallel group only the first rank does, so that the sum counts it once and adds
  up data-parallel groups. The sum is too high where ranks repeat each other: with
  `--enable-metrics-for-all-schedulers` and for each stage of a pipeline; and where `--enable-priority-scheduling`
  writes the total (`priority=""`) and each priority beside it. The controller knows that
  (autoscaler/observe/demand_rules.py); an HPA there needs a rule of its own.
- Counters and histograms of requests: the tokenizer manager writes them, once for all ranks. Requests and both kinds
  of tokens are counted when a request ends, also one that is aborted while it runs, and not before; newer versions tell
  by `is_streaming` whether it was streamed. They are on no page before the first request, which is the warm-up's.
  Cached prompt tokens are among the prompt tokens.
- TTFT of an answer that is not streamed is the time to its first 50 tokens (DEFAULT_FORCE_STREAM_INTERVAL).
- `cache_hit_rate` is of the last prefill batch alone.
"""

from adapter.sources.catalogue.metric import Kind, Metric, quantile_rule, rate_rule, raw_rules, without_colon
from adapter.sources.rule import Reducer, Rule, Total


def _metric(name: str, kind: Kind, unit: str, *, reducer: Reducer = "sum", older_names: tuple[str, ...] = ()) -> Metric:
    return Metric(
        name=f"sglang:{name}",
        older_names=tuple(f"sglang:{older}" for older in older_names),
        kind=kind,
        unit=unit,
        reducer=reducer,
        system="sglang",
    )


RUNNING = _metric("num_running_reqs", "gauge", "requests")
QUEUE = _metric("num_queue_reqs", "gauge", "requests")
PROMPT_TOKENS = _metric("prompt_tokens_total", "counter", "tokens")
GENERATION_TOKENS = _metric("generation_tokens_total", "counter", "tokens")
REQUESTS = _metric("num_requests_total", "counter", "requests")
TIME_TO_FIRST_TOKEN = _metric("time_to_first_token_seconds", "histogram", "seconds")
REQUEST_TIME_PER_OUTPUT_TOKEN = _metric("request_time_per_output_token_seconds", "histogram", "seconds")
INTER_TOKEN_LATENCY = _metric(
    "inter_token_latency_seconds", "histogram", "seconds", older_names=("time_per_output_token_seconds",)
)
E2E_LATENCY = _metric("e2e_request_latency_seconds", "histogram", "seconds")

METRICS: tuple[Metric, ...] = (
    RUNNING,
    QUEUE,
    _metric("num_grammar_queue_reqs", "gauge", "requests"),
    _metric("token_usage", "gauge", "ratio", reducer="mean"),  # of the KV cache, 0..1
    _metric("num_used_tokens", "gauge", "tokens"),
    _metric("cache_hit_rate", "gauge", "ratio", reducer="mean"),
    _metric("gen_throughput", "gauge", "tokens/s"),
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    _metric("cached_tokens_total", "counter", "tokens"),
    REQUESTS,
    _metric("num_aborted_requests_total", "counter", "requests"),
    TIME_TO_FIRST_TOKEN,
    REQUEST_TIME_PER_OUTPUT_TOKEN,
    INTER_TOKEN_LATENCY,
    E2E_LATENCY,
    _metric("queue_time_seconds", "histogram", "seconds"),
)

RULES: tuple[Rule, ...] = tuple(
    without_colon(rule)
    for rule in (
        *raw_rules(METRICS),
        Rule(
            name="sglang:num_running_and_queue_reqs",
            value=Total((RUNNING.spellings, QUEUE.spellings)),
            unit="requests",
            system="sglang",
        ),
        rate_rule(REQUESTS, "sglang:requests_per_second"),
        rate_rule(PROMPT_TOKENS, "sglang:prompt_tokens_per_second"),
        rate_rule(GENERATION_TOKENS, "sglang:generation_tokens_per_second"),
        quantile_rule(TIME_TO_FIRST_TOKEN, 0.95),
        quantile_rule(INTER_TOKEN_LATENCY, 0.95),
        quantile_rule(E2E_LATENCY, 0.95),
    )
)
