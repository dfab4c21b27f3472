"""What a workload's manifest tells of its pods: the container that serves, its GPUs, the nodes that it asks for."""

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

GPU_RESOURCES = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915")
_SERVERS = ("vllm", "sglang", "text-generation-inference", "tritonserver", "/nim/", "lmdeploy", "torchserve", "tgi")


def pod_spec(workload: Json) -> Json | None:
    """The pods' spec of a Deployment, StatefulSet or anything of their shape; of a LeaderWorkerSet, its leader's, whose
    pod answers requests. None where there is none to see."""
    spec = workload.get("spec") or {}
    group = spec.get("leaderWorkerTemplate") or {}
    template = group.get("leaderTemplate") or group.get("workerTemplate") or spec.get("template") or {}
    found = template.get("spec")
    return found if isinstance(found, dict) else None


def group_size(workload: Json) -> int:
    """Pods of one replica: more than 1 for a LeaderWorkerSet."""
    size = ((workload.get("spec") or {}).get("leaderWorkerTemplate") or {}).get("size", 1)
    return size if isinstance(size, int) and size > 0 else 1


def serving_container(spec: Json) -> Json | None:
    """The first that asks for a GPU, else the first whose image is a known server's."""
    containers = [each for each in spec.get("containers") or () if isinstance(each, dict)]
    with_gpu = next((each for each in containers if gpus_of(each) > 0), None)
    by_image = (each for each in containers if any(name in str(each.get("image", "")) for name in _SERVERS))
    return with_gpu or next(by_image, None)


def gpus_of(container: Json) -> int:
    """GPUs of one container; 0 where it asks for none that are counted."""
    resources = container.get("resources") or {}
    for section in ("limits", "requests"):
        for name in GPU_RESOURCES:
            text = str((resources.get(section) or {}).get(name, ""))
            if text.isascii() and text.isdecimal():
                return int(text)
    return 0


def node_labels(spec: Json) -> dict[str, str]:
    """Labels that every node of the pods has: of nodeSelector, and of a required affinity with one term that names one
    value."""
    labels = {str(key): str(value) for key, value in (spec.get("nodeSelector") or {}).items()}
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms: list[Json] = required.get("nodeSelectorTerms") or []
    expressions: list[Json] = (terms[0].get("matchExpressions") or []) if len(terms) == 1 else []
    for expression in expressions:
        values = expression.get("values") or []
        if expression.get("operator") == "In" and len(values) == 1:
            labels.setdefault(str(expression.get("key")), str(values[0]))
    return labels


def conditions_of(thing: Json) -> Iterator[tuple[str, Json]]:
    """(type, condition) of an object's status."""
    for each in (thing.get("status") or {}).get("conditions") or ():
        yield str(each.get("type")), each
