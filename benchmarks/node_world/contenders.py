"""Who is compared: each with the same number of settings, its knob and its scale-down window varied together.

The k-th of n settings has the k-th of n knobs, even in the logarithm over the policy's range, and a window that steps
by the golden ratio over [0, 15 min]: every knob meets another window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from node_world.headroom import StaticHeadroom
from node_world.world import (
    LEAD_SECONDS,
    MOST_REPLICAS,
    OBJECTIVE,
    PROFILE,
    PROVISION,
    SPOT_POOL,
    World,
)
from policies.baselines.hpa_presets import BatchSizeSpec, TotalDemandSpec, batch_size_policy, total_demand_policy
from policies.baselines.keda import KedaSpec, keda_policy
from policies.nodepools.decide import Headroom
from policies.nodepools.deletion_cost import PodDeletionCost
from policies.nodepools.spec import PoolSpec
from policies.policy import Policy
from policies.predictive.decide import predictive_policy
from policies.predictive.spec import PredictiveSpec
from simulations.node_loop import NodeLoop

_LONGEST_WINDOW_SECONDS = 900.0
_GOLDEN = (5**0.5 - 1) / 2
_QUANTILES = (0.5, 0.8, 0.95)
_SPARE_NODES = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """number: of the policy's settings, from 0. knob: in the policy's unit. window_seconds: before scaling down.

    nodes: what is kept ahead of the pods: the node horizon's quantile or idle nodes; None for the cluster-autoscaler
    alone.
    """

    number: int
    knob: float
    window_seconds: int
    nodes: float | None = None


MakePolicy = Callable[[Setting], Policy[Any, Any]]
MakeLoop = Callable[[Setting], NodeLoop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """low, high: of the knob, for few and for many replicas in this order. is_batch: in batches of a replica.

    is_share: the knob is an attainment, even in log(1 - attainment). nodes: of the settings in turn, with `loop`.
    pod_deletion_cost: which pods a scale-down takes.
    """

    name: str
    policy: MakePolicy
    low: float
    high: float
    is_share: bool = False
    is_batch: bool = False
    nodes: Sequence[float] = ()
    loop: MakeLoop | None = None
    pod_deletion_cost: PodDeletionCost = "Unset"

    def settings(self, count: int, world: World) -> list[Setting]:
        """`count` of them, the leanest knob first."""
        unit = world.batch if self.is_batch else 1.0
        low, high = (1.0 - self.low, 1.0 - self.high) if self.is_share else (self.low * unit, self.high * unit)
        settings = []
        for number in range(count):
            value = low * (high / low) ** ((number + 0.5) / count)
            settings.append(
                Setting(
                    number=number,
                    knob=round(1.0 - value if self.is_share else value, 4),
                    window_seconds=round(_LONGEST_WINDOW_SECONDS * ((number + 0.5) * _GOLDEN % 1.0)),
                    nodes=self.nodes[number % len(self.nodes)] if self.nodes else None,
                )
            )
        return settings


def leadtime(setting: Setting) -> Policy[Any, Any]:
    return predictive_policy(
        PredictiveSpec(
            profile=PROFILE,
            ttft_seconds=OBJECTIVE.ttft_seconds,
            tpot_seconds=OBJECTIVE.tpot_seconds,
            attainment=setting.knob,
            max_replicas=MOST_REPLICAS,
            lead_time_seconds=LEAD_SECONDS,
            scale_down_window_seconds=setting.window_seconds,
        )
    )


def hpa_batch_size(setting: Setting) -> Policy[Any, Any]:
    return batch_size_policy(
        BatchSizeSpec(
            target_requests=setting.knob, max_replicas=MOST_REPLICAS, scale_down_window_seconds=setting.window_seconds
        )
    )


def hpa_total_demand(setting: Setting) -> Policy[Any, Any]:
    return total_demand_policy(
        TotalDemandSpec(
            target_requests=setting.knob, max_replicas=MOST_REPLICAS, scale_down_window_seconds=setting.window_seconds
        )
    )


def keda(setting: Setting) -> Policy[Any, Any]:
    return keda_policy(
        KedaSpec(
            threshold=setting.knob,
            min_replicas=1,
            max_replicas=MOST_REPLICAS,
            scale_down_window_seconds=setting.window_seconds,
        )
    )


def node_horizon(setting: Setting) -> NodeLoop:
    """leadtime's own: the pool's floor follows what the need may climb to while a node is provisioned."""
    assert setting.nodes is not None
    return NodeLoop(_pool_spec(), Headroom(quantile=setting.nodes, replace_seconds=LEAD_SECONDS))


def static_headroom(setting: Setting) -> NodeLoop:
    """So many idle spot nodes at any time."""
    assert setting.nodes is not None
    return StaticHeadroom(_pool_spec(), spare_nodes=int(setting.nodes))


def _pool_spec() -> PoolSpec:
    return PoolSpec(
        name=SPOT_POOL,
        gpus_per_node=PROFILE.gpus_per_replica,
        max_nodes=MOST_REPLICAS,
        quota_gpus=MOST_REPLICAS,
        provision_seconds=PROVISION.median_seconds,
    )


LEADTIME = Contender(name="leadtime", policy=leadtime, low=0.8, high=0.998, is_share=True)
WITH_HORIZON = Contender(
    name="leadtime, node horizon",
    policy=leadtime,
    low=0.8,
    high=0.998,
    is_share=True,
    nodes=_QUANTILES,
    loop=node_horizon,
)
RIVALS = (
    Contender(name="hpa-batch-size", policy=hpa_batch_size, low=1.0, high=0.2, is_batch=True),
    Contender(name="hpa-total-demand", policy=hpa_total_demand, low=1.0, high=0.2, is_batch=True),
    Contender(name="keda-scaledobject", policy=keda, low=1.0, high=0.2, is_batch=True),
)


def by_node(own: Contender) -> Contender:
    """The same settings, with pods told apart by their nodes before a scale-down."""
    return replace(own, name=f"{own.name}, podDeletionCost", pod_deletion_cost="ByNode")


def with_headroom(rival: Contender) -> Contender:
    """The same settings, with idle nodes as an admin keeps them by placeholder pods."""
    return replace(rival, name=f"{rival.name}, headroom", nodes=_SPARE_NODES, loop=static_headroom)
