"""Where Prometheus has a service's past: its servers' series and, where they are known, its Deployment's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from adapter.sources.catalogue import sglang, tgi, vllm

ServerName = Literal["vllm", "sglang", "tgi"]

_SERVER = ("namespace", "pod", "instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeries:
    """What one kind of server calls what is asked for; the meaning of each: autoscaler/observe/demand_rules.py.

    title: as people call it. The histograms are names of buckets, None where it has not the very quantity.
    engine_label: of the gauges, whose series that differ in other labels repeat the same requests; "" where none do.
    streamed: a matcher of TTFTs that were observed with the first token; "" where all are.
    """

    title: str
    answered: str
    running: str
    waiting: str
    prompt_tokens: str
    output_tokens: str
    ttft: str | None
    tpot: str | None
    prompt_lengths: str
    output_lengths: str
    engine_label: str = ""
    streamed: str = ""


SERVERS: Mapping[ServerName, ServerSeries] = {
    "vllm": ServerSeries(
        title="vLLM",
        answered=vllm.REQUEST_SUCCESS.name,
        running=vllm.RUNNING.name,
        waiting=vllm.WAITING.name,
        prompt_tokens=vllm.PROMPT_TOKENS.name,
        output_tokens=vllm.GENERATION_TOKENS.name,
        ttft=f"{vllm.TIME_TO_FIRST_TOKEN.name}_bucket",
        tpot=f"{vllm.REQUEST_TIME_PER_OUTPUT_TOKEN.name}_bucket",
        prompt_lengths="vllm:request_prompt_tokens_bucket",
        output_lengths="vllm:request_generation_tokens_bucket",
    ),
    "sglang": ServerSeries(
        title="SGLang",
        answered=sglang.REQUESTS.name,
        running=sglang.RUNNING.name,
        waiting=sglang.QUEUE.name,
        prompt_tokens=sglang.PROMPT_TOKENS.name,
        output_tokens=sglang.GENERATION_TOKENS.name,
        ttft=f"{sglang.TIME_TO_FIRST_TOKEN.name}_bucket",
        tpot=f"{sglang.REQUEST_TIME_PER_OUTPUT_TOKEN.name}_bucket",
        prompt_lengths="sglang:prompt_tokens_histogram_bucket",
        output_lengths="sglang:generation_tokens_histogram_bucket",
        engine_label="dp_rank",
        streamed='is_streaming!="false"',
    ),
    "tgi": ServerSeries(
        title="TGI",
        answered=tgi.SUCCESS.name,
        running=tgi.BATCH.name,
        waiting=tgi.QUEUE.name,
        prompt_tokens=f"{tgi.INPUT_LENGTH.name}_sum",
        output_tokens=f"{tgi.GENERATED_TOKENS.name}_sum",
        ttft=None,
        tpot=None,
        prompt_lengths=f"{tgi.INPUT_LENGTH.name}_bucket",
        output_lengths=f"{tgi.GENERATED_TOKENS.name}_bucket",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where a service's past is. selector: PromQL matchers of its servers' series, as namespace="llm".

    server: their kind. query: of requests/s that arrived; None for the servers' counters. prompt_query, output_query:
    tokens/s, likewise. replicas_query: of ready replicas; deployment: (namespace, name) whose ready replicas
    kube-state-metrics knows; None for the number of servers. prompt_tokens, output_tokens: mean of a request where no
    counter says it.
    """

    url: str
    server: ServerName = "vllm"
    selector: str = ""
    query: str | None = None
    prompt_query: str | None = None
    output_query: str | None = None
    replicas_query: str | None = None
    deployment: tuple[str, str] | None = None
    prompt_tokens: float = 512.0
    output_tokens: float = 128.0

    @property
    def names(self) -> ServerSeries:
        return SERVERS[self.server]

    def series(self, name: str, matcher: str = "") -> str:
        return f"{name}{{{','.join(part for part in (self.selector, matcher) if part)}}}"

    def by_server(self, name: str) -> str:
        """PromQL of a counter."""
        return f"sum by ({', '.join(_SERVER)}) ({self.series(name)})"

    def gauge_by_server(self, name: str) -> str:
        """PromQL of requests that run or wait, each counted once."""
        if not self.names.engine_label:
            return self.by_server(name)
        engines = f"max by ({', '.join((*_SERVER, self.names.engine_label))}) ({self.series(name)})"
        return f"sum by ({', '.join(_SERVER)}) ({engines})"

    def ready_query(self) -> tuple[str, str]:
        """(PromQL of ready replicas, what it is in words)."""
        if self.replicas_query is not None:
            return self.replicas_query, f"what ran: {self.replicas_query}"
        if self.deployment is not None:
            namespace, name = self.deployment
            query = f'sum(kube_deployment_status_replicas_ready{{namespace="{namespace}",deployment="{name}"}})'
            return query, f"what ran: kube_deployment_status_replicas_ready of {namespace}/{name}"
        return (
            f"count({self.by_server(self.names.running)})",
            "what ran: as many replicas as servers showed metrics (--deployment takes the Deployment's own count)",
        )
