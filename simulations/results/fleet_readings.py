"""All that results read of a fleet: how it stands at a sync, and what it came to in the end."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from policies.decision import Decision
from simulations.cluster.usage import SECONDS_PER_HOUR, cost_by_pool, node_seconds
from simulations.conservation import FleetAccounts
from simulations.results.moment import Moment

if TYPE_CHECKING:
    import numpy as np

    from simulations.fleet import Fleet
    from simulations.scenario import Scenario


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FleetTotals:
    """What the run used.

    gpu_seconds: from the ask for each pod to its end. node_seconds: None where no nodes are simulated.
    cold_start_seconds: from the ask to ready, of each pod that was asked for after the start and got ready.
    preemptions: of requests, by every server. itl_counts: gaps between tokens over `latency_buckets`, None: unknown.
    """

    gpu_seconds: float
    node_seconds: float | None
    cost_usd: float
    cold_start_seconds: tuple[float, ...]
    preemptions: int
    itl_counts: "NDArray[np.int64] | None"


def moment_of(fleet: "Fleet", decision: Decision) -> Moment:
    """The fleet now, as `decision` left it."""
    pods = fleet.existing()
    serving = fleet.serving()
    servers = fleet.servers(serving)
    ready = sum(fleet.is_ready(pod) for pod in serving)
    queue = fleet.gateway_queue
    has_nodes = fleet.scenario.nodes is not None
    prefill = sum(pod.ended is None for pod in fleet.prefill_pods)
    return Moment(
        second=fleet.now_seconds,
        replicas=fleet.replicas,
        ready_replicas=ready,
        starting_replicas=fleet.replicas - ready,
        running=int(servers["running"].sum()),
        waiting=int(servers["waiting"].sum()) + queue,
        gateway_queue=queue,
        gpus=(len(pods) + prefill) * fleet.profile.gpus_per_replica,
        nodes=sum(node.was_created for node in fleet.cluster.live_nodes()) if has_nodes else None,
        decision=decision,
    )


def fleet_totals(fleet: "Fleet", scenario: "Scenario") -> FleetTotals:
    """The bill ends with the demand, not with the last answer: a policy does not pay for the drain after it."""
    horizon = scenario.trace.duration_seconds
    gpu_seconds = sum(fleet.gpu_seconds(pod, horizon) for pod in (*fleet.pods, *fleet.prefill_pods))
    has_own_nodes = scenario.nodes is not None and not fleet.shares_cluster
    nodes = node_seconds(fleet.cluster, horizon) if has_own_nodes else None
    return FleetTotals(
        gpu_seconds=gpu_seconds,
        node_seconds=nodes,
        cost_usd=_node_cost_usd(fleet, scenario, horizon)
        if has_own_nodes and all(pool.price_per_node_hour is not None for pool in scenario.pools)
        else gpu_seconds / SECONDS_PER_HOUR * scenario.price_per_gpu_hour,
        cold_start_seconds=tuple(
            pod.first_ready_at - pod.created for pod in fleet.pods if pod.created > 0 and pod.first_ready_at is not None
        ),
        preemptions=fleet.counted("preemptions"),
        itl_counts=fleet.engine.itl_counts,
    )


def _node_cost_usd(fleet: "Fleet", scenario: "Scenario", horizon_seconds: float) -> float:
    """Of all pools, each node at its pool's price."""
    costs = cost_by_pool(fleet.cluster, horizon_seconds, scenario.price_per_gpu_hour)
    return sum(cost.node_seconds / SECONDS_PER_HOUR * cost.price_per_node_hour for cost in costs)


def fleet_accounts(fleet: "Fleet", scenario: "Scenario") -> FleetAccounts:
    """The fleet's side of what must be conserved."""
    horizon = scenario.trace.duration_seconds
    pods = (*fleet.pods, *fleet.prefill_pods)
    servers = fleet.servers([pod for pod in pods if pod.row is not None])
    return FleetAccounts(
        requests=fleet.engine.loaded,
        requests_inside=fleet.engine.inside,
        generation_tokens=fleet.counted("generation_tokens"),
        restarted_tokens=fleet.engine.restarted_tokens,
        preemptions=fleet.counted("preemptions"),
        gpu_seconds=fleet_totals(fleet, scenario).gpu_seconds,
        pod_gpu_seconds=[fleet.gpu_seconds(pod, horizon) for pod in pods],
        kv_blocks=len(servers) * fleet.profile.kv_blocks,
        free_kv_blocks=int(servers["free_blocks"].sum()),
    )
