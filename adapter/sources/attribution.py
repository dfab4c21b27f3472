"""Which pod each series of a page is about, with which labels; and which series are about no single pod.

Facts of dcgm-exporter (internal/pkg/transformation/kubernetes.go; issues 50, 216, 430, 582, 587, 642):
- The workload is in `namespace`, `pod`, `container`; behind Prometheus with honor_labels false in `exported_*`.
  An idle GPU has none, or "".
- With --kubernetes-virtual-gpus each pod that shares a GPU (time-slicing, MPS) gets a line of its own, labelled
  `vgpu`, and all of them show the same value: the whole GPU's. Nothing of it, memory included, is a pod's.
  Without that flag one of the pods gets it all, which a page does not betray: set the flag where GPUs are shared.
- An instance of a GPU in MIG mode has `GPU_I_ID`, `GPU_I_PROFILE`, and its GPU's UUID. DCGM_FI_PROF_* and (since
  DCGM 3.1.3) DCGM_FI_DEV_FB_* are measured for the instance; all else, clocks, power and DCGM_FI_DEV_GPU_UTIL
  (0 or absent there), belongs to the whole GPU.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from adapter.sources.series import PodKey
from adapter.sources.series_cache import LabelSet
from adapter.sources.targets import Target

EXPORTER_NAMESPACES = ("gpu-operator", "nvidia-gpu-operator", "gke-managed-system", "gmp-public", "kube-system")
"""Whose exporters are believed about other namespaces' pods where nobody says otherwise: where NVIDIA and Google
install theirs. Any tenant could run a false one, and so move the others' scaling."""
_POD_LABELS = ("pod", "namespace", "exported_pod", "exported_namespace")
_PER_INSTANCE = ("DCGM_FI_PROF_", "DCGM_FI_DEV_FB_")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a series is. labels: the exporter's own, without those that only repeat the pod.

    is_shared: on a GPU that several pods share. is_instance: of a MIG instance, or of a GPU in MIG mode.
    """

    pod: PodKey
    labels: Mapping[str, str]
    is_shared: bool = False
    is_instance: bool = False

    def why_not_attributable(self, name: str) -> str:
        """Why the pod has no value of this metric of its own; "" where it has."""
        if self.is_shared:
            return "shared GPU: not attributable to one pod"
        if self.is_instance and not name.startswith(_PER_INSTANCE):
            return "metric of the whole GPU, the pod has a MIG instance: not attributable to one pod"
        return ""


def may_speak_of(about: str, *, by: str, believed: Collection[str]) -> bool:
    """Whether what somebody in the namespace `by` says of pods in the namespace `about` counts.

    by: "" for the cluster's own, and where a backend does not say. believed: namespaces; "*" for all.
    """
    return by in ("", about) or by in believed or "*" in believed


def attribute(label_sets: Iterable[LabelSet], *, target: Target, pods: Collection[PodKey]) -> Mapping[LabelSet, Owner]:
    """The owner of each label set of a page that has one.

    None have series of an exporter about a pod that is not in `pods`, about no pod (an idle GPU), or about the
    exporter's own pod. A pod's own page speaks of that pod, whatever its labels say.
    """
    if target.role == "exporter":
        return _named_on_page(label_sets, target.owner, pods)
    if target.owner is None or target.owner not in pods:
        return {}
    return {one: Owner(target.owner, _without_own(one.labels, target.owner)) for one in label_sets}


def _named_on_page(
    label_sets: Iterable[LabelSet], exporter: PodKey | None, pods: Collection[PodKey]
) -> Mapping[LabelSet, Owner]:
    named: dict[LabelSet, PodKey] = {}
    users: dict[tuple[str, str], set[PodKey]] = defaultdict(set)  # (GPU, instance) -> pods
    with_instances: set[str] = set()
    for one in label_sets:
        labels = one.labels
        gpu, instance = labels.get("UUID", ""), labels.get("GPU_I_ID", "")
        if instance:
            with_instances.add(gpu)
        pod = PodKey(
            labels.get("exported_namespace", labels.get("namespace", "")),
            labels.get("exported_pod", labels.get("pod", "")),
        )
        if not pod.name or not pod.namespace or pod == exporter:
            continue
        named[one] = pod
        if gpu:
            users[gpu, instance].add(pod)
    owners: dict[LabelSet, Owner] = {}
    for one, pod in named.items():
        if pod not in pods:
            continue
        gpu, instance = one.labels.get("UUID", ""), one.labels.get("GPU_I_ID", "")
        owners[one] = Owner(
            pod,
            {key: value for key, value in one.labels.items() if key not in _POD_LABELS},
            is_shared=bool(one.labels.get("vgpu")) or len(users.get((gpu, instance), ())) > 1,
            is_instance=bool(instance) or (bool(gpu) and gpu in with_instances),
        )
    return owners


def _without_own(labels: Mapping[str, str], pod: PodKey) -> Mapping[str, str]:
    """The labels without those that repeat the pod; one that says something else stays."""
    if not any(key in labels for key in _POD_LABELS):
        return labels
    own = {"pod": pod.name, "exported_pod": pod.name, "namespace": pod.namespace, "exported_namespace": pod.namespace}
    return {key: value for key, value in labels.items() if own.get(key) != value}
