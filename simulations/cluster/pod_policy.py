"""What the scheduler and the node autoscaler heed of a pod besides its resources: tolerations, protection, budgets.

A node autoscaler empties a node that is little used only when every pod on it may be moved. These may not be
(kubernetes/autoscaler cluster-autoscaler/FAQ.md, "What types of pods can prevent CA from removing a node?"): pods of
kube-system without a budget, pods without a controller, pods with local storage, unless annotated
`cluster-autoscaler.kubernetes.io/safe-to-evict: "true"`; pods annotated "false"; and pods whose PodDisruptionBudget
allows no disruption, whatever the annotation says.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from policies.errors import BadInput

GPU_TAINT = "nvidia.com/gpu"
"""GKE taints GPU nodes with it, and lets pods that ask for GPUs tolerate it (documentation, "Run GPUs in GKE Standard
node pools"), so that pods of the system do not land there."""

KUBE_SYSTEM = "kube-system"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPolicy:
    """How a pod may be placed and moved.

    tolerations: keys of taints that it tolerates.
    safe_to_evict: the annotation; None for none. False by default: a replica is not moved, as a move is another
        model load.
    local_storage: an emptyDir on disk or a hostPath. has_controller: made by a ReplicaSet, a StatefulSet, a Job.
    budget: name of the PodDisruptionBudget that selects it; empty for none.
    """

    namespace: str = "default"
    tolerations: tuple[str, ...] = (GPU_TAINT,)
    safe_to_evict: bool | None = False
    local_storage: bool = False
    has_controller: bool = True
    budget: str = ""

    @property
    def movable(self) -> bool:
        """Whether a node autoscaler may evict it, as far as its budget allows."""
        if self.safe_to_evict is not None:
            return self.safe_to_evict
        is_system = self.namespace == KUBE_SYSTEM and not self.budget
        return not is_system and not self.local_storage and self.has_controller


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDisruptionBudget:
    """At least `min_available` of the pods that name it stay on nodes. Raises BadInput."""

    name: str
    min_available: int

    def __post_init__(self) -> None:
        if self.min_available < 0:
            raise BadInput(f"{self.name}.min_available: was {self.min_available}, must be 0 or more")


def budgets_allow(budgets: dict[str, PodDisruptionBudget], leaving: Iterable[str], placed: dict[str, int]) -> bool:
    """Whether pods of these budgets may leave one by one.

    leaving: the budget of each pod that would leave, empty for none. placed: by budget, pods that are on nodes.
    A budget with room for one only lets the eviction API take one, wait for its replacement and go on; here the whole
    node has to fit at once, else it stays (FAQ, "Does CA work with PodDisruptionBudget in scale-down?").
    """
    count: dict[str, int] = {}
    for name in leaving:
        if name:
            count[name] = count.get(name, 0) + 1
    return all(
        name not in budgets or placed.get(name, 0) - evicted >= budgets[name].min_available
        for name, evicted in count.items()
    )
