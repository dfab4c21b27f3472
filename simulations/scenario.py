"""What is simulated, except for the policy."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from policies.capacity.profile import Profile
from policies.errors import BadInput
from policies.nodepools.deletion_cost import PodDeletionCost
from simulations.cluster.cluster_rules import ClusterRules
from simulations.cluster.node_pool import NodePool
from simulations.cluster.pod_policy import PodDisruptionBudget, PodPolicy
from simulations.cluster.resources import PodResources
from simulations.engine import Router
from simulations.fleet.rollout import Rollout
from simulations.lead_time import LeadTime
from simulations.server_kind import ServerKind
from simulations.slo import SLO
from simulations.start.staged_start import StagedStart
from simulations.trace import Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How each replica's vLLM is started, beside what the profile says.

    max_loras: adapters in one batch; 0 where adapters cost nothing.
    """

    prefix_caching: bool = False
    max_loras: int = 0
    lora_load_seconds: float = 0.3
    priority_scheduling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """When somebody stops waiting. gateway_seconds: with no replica ready. client_seconds: for the whole answer."""

    gateway_seconds: float = math.inf
    client_seconds: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Servers that crash and are started again in their pod.

    mtbf_seconds: mean time between failures of one ready server, exponential; inf for never.
    retry: clients send again at once what a dead server had; else it fails.
    """

    mtbf_seconds: float = math.inf
    retry: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFaults:
    """What lies between the servers and a policy.

    delay_seconds: from a scrape until its values can be read. loss_probability: that the scrape of one pod fails.
    stale_probability: that a pod's exporter answers with its previous values. max_age_seconds: until a value counts
    as missing.
    """

    delay_seconds: float = 0.0
    loss_probability: float = 0.0
    stale_probability: float = 0.0
    max_age_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disaggregation:
    """Prefill on servers of their own, a fixed number of them; policies scale those that decode.

    transfer_bytes_per_second: at which a prompt's KV cache moves from one to the other.
    """

    prefill_replicas: int
    transfer_bytes_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """How a deleted pod ends, in Kubernetes' words. Raises BadInput.

    grace_period_seconds: terminationGracePeriodSeconds, from the deletion to SIGKILL, the preStop hook included; what
        is not answered by then is lost. Kubernetes' default is 30; inf lets every pod answer all it has.
    pre_stop_seconds: a preStop hook that sleeps: the container runs on for so long, at least. The router sends a
        deleted pod nothing more from the deletion on.
    Source: kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle, "Termination of Pods".
    """

    grace_period_seconds: float = math.inf
    pre_stop_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.grace_period_seconds >= 0.0:
            raise BadInput(
                f"terminationGracePeriodSeconds: was {self.grace_period_seconds}, must be 0 or more; "
                "leave it out to let pods answer all they have"
            )
        if not 0.0 <= self.pre_stop_seconds <= self.grace_period_seconds:
            raise BadInput(
                f"preStop.sleep.seconds: was {self.pre_stop_seconds}, must be in [0, {self.grace_period_seconds:g}] "
                "(terminationGracePeriodSeconds), which it is a part of; raise that by the time a request takes"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What owns the pods. pod_management_policy and retains_volumes are of a StatefulSet only.

    pod_management_policy: OrderedReady creates an ordinal when all before it are Ready, and deletes one at a time.
    has_volumes: a PersistentVolumeClaim of its own for every ordinal, bound to the zone of its first node.
    retains_volumes: persistentVolumeClaimRetentionPolicy.whenScaled is Retain (Kubernetes' default), not Delete.
    pod_deletion_cost: of a Deployment only; ByNode: pods on dear on-demand nodes go first in a scale-down, then those
        on nodes with few pods.
    """

    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    pod_management_policy: Literal["OrderedReady", "Parallel"] = "OrderedReady"
    has_volumes: bool = True
    retains_volumes: bool = True
    termination: Termination = field(default_factory=Termination)
    pod_deletion_cost: PodDeletionCost = "Unset"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("kind", self.kind, ("Deployment", "StatefulSet")),
            ("podManagementPolicy", self.pod_management_policy, ("OrderedReady", "Parallel")),
            ("podDeletionCost", self.pod_deletion_cost, ("Unset", "ByNode")),
        ):
            if value not in allowed:
                raise BadInput(f"{name}: was {value!r}, must be {' or '.join(allowed)}")
        if self.pod_deletion_cost == "ByNode" and self.kind != "Deployment":
            raise BadInput(
                f"podDeletionCost: was ByNode, must be Unset for a {self.kind}: only a ReplicaSet's pods are chosen by "
                "it; leave it out or set kind: Deployment"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything about a run except the policy. Equal scenarios give equal runs.

    name: of the workload, where several share nodes. nodes: the pool that its pods run on; None gives every pod a
    node of its own. price_per_gpu_hour: US dollars; what a node costs is said by its pool.
    start: a pod's start stage by stage; it takes the place of lead_time.
    rollout: of a new revision of the pods, in the course of the run.
    server: which server answers in each replica; of one that batches, `serving` and the profile's times do not count.
    resources: that a pod requests beside its GPUs. fallback_pools: where it may run as well, first choice first.
    cluster: the rules of the nodes; workloads that share nodes have the same.
    pod_policy: tolerations, and whether a node autoscaler may move the pods. min_available: of their
        PodDisruptionBudget, which has the workload's name; None for no budget.
    """

    trace: Demand
    profile: Profile
    name: str = "vllm"
    slo: SLO = field(default_factory=SLO)
    lead_time: LeadTime = field(default_factory=LeadTime)
    initial_replicas: int = 6
    seed: int = 1
    price_per_gpu_hour: float = 0.71
    router: Router = field(default_factory=Router)
    serving: Serving = field(default_factory=Serving)
    timeouts: Timeouts = field(default_factory=Timeouts)
    failures: Failures = field(default_factory=Failures)
    metrics: MetricFaults = field(default_factory=MetricFaults)
    nodes: NodePool | None = None
    disaggregation: Disaggregation | None = None
    start: StagedStart | None = None
    workload: Workload = field(default_factory=Workload)
    rollout: Rollout | None = None
    resources: PodResources | None = None
    fallback_pools: tuple[NodePool, ...] = ()
    server: ServerKind = "vllm"
    cluster: ClusterRules = field(default_factory=ClusterRules)
    pod_policy: PodPolicy = field(default_factory=PodPolicy)
    min_available: int | None = None

    @property
    def pools(self) -> tuple[NodePool, ...]:
        """Where the pods may run, first choice first; empty where no nodes are simulated."""
        return () if self.nodes is None else (self.nodes, *self.fallback_pools)

    @property
    def budgets(self) -> tuple[PodDisruptionBudget, ...]:
        """The pods' PodDisruptionBudget, if they have one."""
        if self.min_available is None:
            return ()
        return (PodDisruptionBudget(name=self.name, min_available=self.min_available),)

    @property
    def budgeted_policy(self) -> PodPolicy:
        """`pod_policy`, naming the budget."""
        return self.pod_policy if self.min_available is None else replace(self.pod_policy, budget=self.name)
