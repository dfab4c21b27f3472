"""Where the systems of the catalogue show their metrics, for pods that nobody has configured.

Ports and paths, as their own documentation has them:
vLLM 8000 /metrics (docs.vllm.ai, usage/metrics); Triton 8002 /metrics (NVIDIA Triton user guide, metrics);
TorchServe 8082 /metrics, on localhost unless metrics_address says otherwise (pytorch.org/serve/metrics_api);
NIM for LLMs 8000 /v1/metrics (docs.nvidia.com/nim/large-language-models, observability); TGI 80 /metrics
(huggingface/text-generation-inference, its image's PORT); SGLang 30000 /metrics, with --enable-metrics only
(docs.sglang.io, references/production_metrics); DCGM exporter 9400 /metrics (NVIDIA/dcgm-exporter);
endpoint picker 9090 /metrics (gateway-api-inference-extension cmd/epp, which asks for a token unless it runs with
--metrics-endpoint-auth=false).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from adapter.sources.kubernetes.pod_record import PodRecord

_NAME_LABELS = ("app.kubernetes.io/name", "app")
_METRICS_PORT_NAMES = ("metrics", "http-metrics", "prometheus", "gpu-metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system. image: found in a container's image, without its tag. names: values of a pod's name label.

    serving_port: whether the page is on the port that serves requests, which people often move.
    exporter: its page is about other pods.
    """

    name: str
    port: int
    path: str = "/metrics"
    image: re.Pattern[str]
    names: frozenset[str]
    serving_port: bool = False
    exporter: bool = False


SYSTEMS: tuple[System, ...] = (
    System(
        name="dcgm",
        port=9400,
        image=re.compile(r"(^|/)(gke-)?dcgm-exporter$"),
        names=frozenset(["dcgm-exporter", "nvidia-dcgm-exporter", "gke-managed-dcgm-exporter"]),
        exporter=True,
    ),
    System(
        name="endpoint-picker",
        port=9090,
        image=re.compile(r"/epp$|/llm-d-inference-scheduler$"),
        names=frozenset(),
    ),
    System(
        name="nim",
        port=8000,
        path="/v1/metrics",
        image=re.compile(r"/nim/"),
        names=frozenset(["nim-llm"]),
        serving_port=True,
    ),
    System(
        name="triton",
        port=8002,
        image=re.compile(r"tritonserver[^/]*$"),
        names=frozenset(["tritonserver", "triton-inference-server"]),
    ),
    System(name="torchserve", port=8082, image=re.compile(r"torchserve[^/]*$"), names=frozenset(["torchserve"])),
    System(
        name="tgi",
        port=80,
        image=re.compile(r"text-generation-inference[^/]*$"),
        names=frozenset(["tgi", "text-generation-inference"]),
        serving_port=True,
    ),
    System(
        name="sglang",
        port=30000,
        image=re.compile(r"sglang(?![^/]*router)[^/]*$"),  # its router shows no requests of a server's own
        names=frozenset(["sglang", "sglang-server"]),
        serving_port=True,
    ),
    System(
        name="vllm",
        port=8000,
        image=re.compile(r"vllm[^/]*$"),
        names=frozenset(["vllm", "vllm-openai"]),
        serving_port=True,
    ),
)
_BY_NAME = {name: system for system in SYSTEMS for name in system.names}
_ON_A_GPU = ("vllm", "triton", "torchserve", "sglang")  # of an unknown image: told by the port that it declares


@dataclass(frozen=True, slots=True)
class KnownPage:
    system: str
    port: int
    path: str


def is_exporter(pod: PodRecord) -> bool:
    """Whether its page is about other pods."""
    images = (_system_of_image(image) for image in pod.images.values())
    return any(system is not None and system.exporter for system in (_system_of_name(pod), *images))


def known_pages(pod: PodRecord) -> Iterator[KnownPage]:
    """The pages of a pod as its images tell, else its name, else, where it asks for a GPU, the ports it declares.

    A worker of a LeaderWorkerSet has none: the leader alone serves.
    """
    if pod.info.labels.get("leaderworkerset.sigs.k8s.io/worker-index", "0") != "0":
        return
    found = False
    for container, image in pod.images.items():
        system = _system_of_image(image)
        if system is not None and container in pod.running:
            found = True
            yield KnownPage(system.name, _port(system, pod, container), system.path)
    if found:
        return
    if (system := _system_of_name(pod)) is not None:
        yield KnownPage(system.name, _port(system, pod, None), system.path)
    elif pod.requests_gpu:
        yield from _page_on_a_gpu(pod)


@lru_cache(maxsize=4096)  # a thousand pods have a handful of images
def _system_of_image(image: str) -> System | None:
    return next((system for system in SYSTEMS if system.image.search(image)), None)


def _system_of_name(pod: PodRecord) -> System | None:
    return next((_BY_NAME[name] for label in _NAME_LABELS if (name := pod.info.labels.get(label)) in _BY_NAME), None)


def _port(system: System, pod: PodRecord, container: str | None) -> int:
    """The system's own port, or where the pod says that it has been moved to."""
    ports = [port for port in pod.ports if container in (None, port.container)]
    if not ports or any(port.number == system.port for port in ports):
        return system.port
    named = [port.number for port in ports if port.name in _METRICS_PORT_NAMES]
    moved = [port.number for port in ports if port.name in ("http", "http1", "openai", "api")] or [ports[0].number]
    return (named or (moved if system.serving_port else [system.port]))[0]


def _page_on_a_gpu(pod: PodRecord) -> Iterator[KnownPage]:
    ports = [port for port in pod.ports if port.container in pod.running]
    for port in ports:
        if port.name in _METRICS_PORT_NAMES:
            yield KnownPage("gpu", port.number, "/metrics")
            return
    for system in SYSTEMS:
        if system.name in _ON_A_GPU and any(port.number == system.port for port in ports):
            yield KnownPage("gpu", system.port, "/metrics")
            return
