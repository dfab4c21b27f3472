"""The pods of a benchmark and what their metrics pages say: pure functions of a pod's number and a generation."""

from collections.abc import Sequence
from dataclasses import dataclass

METRICS = (
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:num_preemptions_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "requests_per_second",
)
"""One series of each a pod: built-in metrics of the adapter, by the exporters' own names."""

KV_CACHE_USAGE = "vllm:kv_cache_usage_perc"
EVERY_POD = "fleet=vllm"
"""A label selector that all pods match."""

_FIRST_ADDRESS = 127 << 24 | 64 << 16 | 1  # 127.64.0.1: loopback addresses, so that one process serves every pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """workloads x pods_each pods in one namespace; each workload's pods have a label of their own."""

    namespace: str
    workloads: int
    pods_each: int

    @property
    def pods(self) -> int:
        return self.workloads * self.pods_each

    def name(self, pod: int) -> str:
        workload, index = divmod(pod, self.pods_each)
        return f"vllm-{workload:03d}-{index:02d}"

    def labels(self, pod: int) -> dict[str, str]:
        return {"app": f"vllm-{pod // self.pods_each:03d}", "fleet": "vllm"}

    def selector(self, workload: int) -> str:
        """A label selector of one workload's pods."""
        return f"app=vllm-{workload:03d}"

    def selected(self, workload: int) -> Sequence[int]:
        """Numbers of one workload's pods."""
        return range(workload * self.pods_each, (workload + 1) * self.pods_each)


def address(pod: int) -> str:
    """The pod's IPv4 address."""
    return ".".join(str(part) for part in (_FIRST_ADDRESS + pod).to_bytes(4, "big"))


def pod_at(ip: str) -> int:
    """The number of the pod at an address."""
    return int.from_bytes(bytes(int(part) for part in ip.split(".")), "big") - _FIRST_ADDRESS


def value(metric: str, pod: int, generation: int) -> float:
    """What a pod's page says of a metric; a new generation changes every value. Exact in thousandths."""
    number = (7 * pod + 13 * METRICS.index(metric) + 5 * generation) % 64
    return number / 64 if metric == KV_CACHE_USAGE else float(number + generation)


def page(pod: int, generation: int) -> str:
    """A pod's metrics page: one series of each metric, with vLLM's labels, in the text format."""
    return "".join(
        f"# HELP {name} As a serving engine tells it.\n"
        f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}\n"
        f'{name}{{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"}} {value(name, pod, generation)}\n'
        for name in METRICS
    )


def external_target(namespace: str, metric: str, selector: str) -> str:
    """As the HPA controller asks for an External metric: lower case, the selector encoded."""
    where = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric.lower()}"
    return f"{where}?labelSelector={_encoded(selector)}"


def pods_target(namespace: str, metric: str, selector: str) -> str:
    """As the HPA controller asks for a Pods metric (client-go encodes the asterisk)."""
    where = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/%2A/{metric}"
    return f"{where}?labelSelector={_encoded(selector)}"


def ten_thousand_targets(fleet: Fleet) -> list[str]:
    """Every workload's every metric, as External and as Pods: 10,000 of 500 workloads."""
    return [
        make(fleet.namespace, metric, fleet.selector(workload))
        for make in (external_target, pods_target)
        for metric in METRICS
        for workload in range(fleet.workloads)
    ]


def _encoded(selector: str) -> str:
    return selector.replace("=", "%3D").replace("/", "%2F").replace(",", "%2C")
