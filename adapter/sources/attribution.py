"""Which pod each sample of a page belongs to, under which current name, with which labels."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from adapter.sources.catalogue import find
from adapter.sources.exposition import Sample
from adapter.sources.targets import PodKey, Target


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a pod at one instant.

    labels: the exporter's, with the pod's own, `namespace` and `pod` over them.
    value: in the metric's unit; None if the page gave NaN or an infinity.
    at_ns: when it was true; never later than the scrape, so that a clock ahead of ours cannot keep an
        old value fresh.
    """

    labels: Mapping[str, str]
    value: float | None
    at_ns: int


Page: TypeAlias = Mapping[tuple[PodKey, str], tuple[Series, ...]]
"""(pod, current metric name) -> its series on one page."""


def attribute(
    samples: Iterable[Sample],
    *,
    target: Target,
    pods: Mapping[PodKey, Mapping[str, str]],
    scraped_at_ns: int,
) -> Page:
    """Sort a page's samples by pod and metric.

    Samples outside the catalogue are left out, and so are an exporter's samples about a pod that is not in
    `pods`, about no pod (an idle GPU), or about the exporter's own pod. Where a page shows a quantity
    under its current and an older name (vLLM does for a release or two), the current one counts.
    """
    found: dict[tuple[PodKey, str], dict[int, list[Series]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        name = find(sample.name)
        pod = _pod_of(sample, target)
        if name is None or pod is None or pod not in pods:
            continue
        at_ns = scraped_at_ns if sample.at_ns is None else min(sample.at_ns, scraped_at_ns)
        labels = _labels(sample.labels, pod=pod, pod_labels=pods[pod], role=target.role)
        found[pod, name.current][name.age].append(Series(labels, sample.value, at_ns))
    return {key: tuple(by_age[min(by_age)]) for key, by_age in found.items()}


def _pod_of(sample: Sample, target: Target) -> PodKey | None:
    """The pod a sample is about.

    A page that went through Prometheus has the exporter's own pod in `pod` and the workload's in
    `exported_pod`; straight from the exporter the workload's is in `pod`. DCGM names no pod, or "", for
    an idle GPU.
    """
    if target.role == "pod":
        return target.owner
    labels = sample.labels
    name = labels.get("exported_pod", labels.get("pod", ""))
    namespace = labels.get("exported_namespace", labels.get("namespace", ""))
    pod = PodKey(namespace, name)
    return pod if name and namespace and pod != target.owner else None


def _labels(own: Mapping[str, str], *, pod: PodKey, pod_labels: Mapping[str, str], role: str) -> Mapping[str, str]:
    """The exporter's labels under the pod's, which win; the exporter's moves to `exported_<label>`.

    The rule is Prometheus' for `honor_labels: false`. An exporter's pod and namespace labels are the pod.
    """
    over = {**pod_labels, "namespace": pod.namespace, "pod": pod.name}
    named = ("pod", "namespace", "exported_pod", "exported_namespace") if role == "exporter" else ()
    kept = {key: value for key, value in own.items() if key not in named}
    moved = {f"exported_{key}" if key in over else key: value for key, value in kept.items()}
    return {**moved, **over}
