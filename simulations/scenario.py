"""What is simulated, except for the policy."""

import math
from dataclasses import dataclass, field

from policies.capacity.profile import Profile
from simulations.cluster.node_pool import NodePool
from simulations.engine import Router
from simulations.lead_time import LeadTime
from simulations.slo import SLO
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
class Scenario:
    """Everything about a run except the policy. Equal scenarios give equal runs.

    name: of the workload, where several share nodes. nodes: the pool that its pods run on; None gives every pod a
    node of its own. price_per_gpu_hour: US dollars; what a node costs is said by its pool.
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
