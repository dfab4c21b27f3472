"""Where Prometheus has a service's past: its servers' series and, where they are known, its Deployment's."""

from dataclasses import dataclass

ANSWERED, RUNNING, WAITING = "vllm:request_success_total", "vllm:num_requests_running", "vllm:num_requests_waiting"
PROMPT_TOKENS, OUTPUT_TOKENS = "vllm:prompt_tokens_total", "vllm:generation_tokens_total"

_SERVER = ("namespace", "pod", "instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where a service's past is. selector: PromQL matchers of its servers' series, as namespace="llm".

    query: of requests/s that arrived; None for the servers' counters. prompt_query, output_query: tokens/s, likewise.
    replicas_query: of ready replicas; deployment: (namespace, name) whose ready replicas kube-state-metrics knows; None
    for the number of servers. prompt_tokens, output_tokens: mean of a request where no counter says it.
    """

    url: str
    selector: str = ""
    query: str | None = None
    prompt_query: str | None = None
    output_query: str | None = None
    replicas_query: str | None = None
    deployment: tuple[str, str] | None = None
    prompt_tokens: float = 512.0
    output_tokens: float = 128.0

    def series(self, name: str) -> str:
        return f"{name}{{{self.selector}}}"

    def by_server(self, name: str) -> str:
        return f"sum by ({', '.join(_SERVER)}) ({self.series(name)})"

    def ready_query(self) -> tuple[str, str]:
        """(PromQL of ready replicas, what it is in words)."""
        if self.replicas_query is not None:
            return self.replicas_query, f"what ran: {self.replicas_query}"
        if self.deployment is not None:
            namespace, name = self.deployment
            query = f'sum(kube_deployment_status_replicas_ready{{namespace="{namespace}",deployment="{name}"}})'
            return query, f"what ran: kube_deployment_status_replicas_ready of {namespace}/{name}"
        return (
            f"count({self.by_server(RUNNING)})",
            "what ran: as many replicas as servers showed metrics (--deployment takes the Deployment's own count)",
        )
