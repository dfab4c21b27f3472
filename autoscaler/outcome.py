"""What one step of one PredictiveAutoscaler came to: everything that status, events, metrics, log and page tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoscaler.cluster import Key
from autoscaler.crd.spec import Mode
from autoscaler.forecast import Forecast
from policies.decision import Decision
from policies.snapshot import ConditionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One condition of the status. type: Ready, AbleToScale, ScalingActive, ScalingLimited, DemandKnown, NoConflict,
    NodePoolsReady, PodDeletionCostSet. reason: CamelCase. message: one sentence, with the remedy where there is one."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What was written, if anything. to: "" (nothing had to be), or `deployments.apps/vllm`, `hpa/vllm`.

    before, after: replicas (Direct) or minReplicas (Floor). withheld: why a write that was due was not made: paused,
    not the leader, a conflict, a refusal. error: the write was tried and failed; it is tried again at the next step.
    """

    to: str = ""
    before: int | None = None
    after: int | None = None
    withheld: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Of the workload at this step. asked: spec.replicas. starting: pods that exist, are not Ready and not ending.

    pending: of those, pods without a node.
    """

    asked: int
    ready: int
    starting: int
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOutcome:
    """What became of one node pool. numbers: as in policies.nodepools.decide.NodeDecision. state: what the provider
    says: Idle, Resizing, QuotaExceeded, StockedOut, Refused, Unreachable, Recommended."""

    name: str
    provider: str
    floor_nodes: int
    ready_nodes: int
    nodes: int
    condition: str
    state: str
    message: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One step. decision, replicas: None where the workload could not be observed; then a finding says why.

    forecast: of demand one lead time ahead; None while it cannot be told.
    """

    key: Key
    uid: str
    at_ns: int
    generation: int
    mode: Mode | None
    paused: bool
    decision: Decision | None
    replicas: Replicas | None
    acted: Acted
    findings: tuple[Finding, ...]
    pools: tuple[PoolOutcome, ...] = ()
    forecast: Forecast | None = None
    seconds: float = 0.0
    """How long the step took."""
