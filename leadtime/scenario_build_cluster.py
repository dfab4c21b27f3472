"""From the sections about nodes to the simulator's values: pools, and the rules of their cluster.

Raises BadInput for what only the price table, the profile or another section can tell to be wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from leadtime.scenario_cluster import ClusterSection, NodesSection, PoolSection, QuotaSection, StockoutSection
from leadtime.scenario_pods import StartSection
from policies.capacity.gpus import gpu_of
from policies.capacity.profile import Profile
from policies.errors import BadInput
from simulations.cluster.cluster_rules import ClusterRules
from simulations.cluster.machine_pool import machine_pool
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.pod_policy import GPU_TAINT
from simulations.cluster.resources import GIB, GpuSharing
from simulations.cluster.spot import Spot
from simulations.cluster.zones import Quota, RandomStockouts, Stockout
from simulations.lead_time import Stage
from simulations.prices import MACHINES, MachineType, read_prices
from simulations.start.presets import preset_named

_PROVISION_SECONDS = 90.0


def pool_of_nodes(section: NodesSection, profile: Profile, sigma: float) -> NodePool:
    """The one pool of the profile's GPUs."""
    given = section.model_dump(exclude={"provision_median_seconds"})
    return NodePool(name="nodes", gpu=profile.gpu, provision=Stage(section.provision_median_seconds, sigma), **given)


def pools_of(
    sections: Sequence[PoolSection], cluster: ClusterSection, profile: Profile, start: StartSection | None, sigma: float
) -> tuple[NodePool, ...]:
    """The pools by priority. sigma: of a provisioning that no preset says."""
    machines = MACHINES if cluster.prices is None else read_prices(cluster.prices)
    provision = Stage(_PROVISION_SECONDS, sigma)
    if start is not None and start.preset is not None:
        provision = preset_named(start.preset).pool.provision
    pools = []
    for number, section in enumerate(sections):
        own = section.provision_median_seconds
        try:
            pools.append(_pool(section, cluster, profile, provision if own is None else Stage(own, sigma), machines))
        except BadInput as error:
            raise BadInput(_in_pool(number, section.name, str(error))) from None
    unpriced = [number for number, pool in enumerate(pools) if pool.price_per_node_hour is None]
    if 0 < len(unpriced) < len(pools):
        raise BadInput(
            f"pools.{unpriced[0]}.price_per_node_hour: was null, must be a price, as other pools have one; give it, or "
            "a machine_type"
        )
    return tuple(sorted(pools, key=lambda pool: -pool.priority))


def rules_of(section: ClusterSection, pools: Sequence[NodePool]) -> ClusterRules:
    """The cluster's rules; those that could never matter to these pools, or break them at once, are refused."""
    if not pools and section != ClusterSection():
        raise BadInput("cluster: was given, must go with nodes or pools, which it is about; set nodes: {}")
    quotas = tuple(_quota(number, each, pools) for number, each in enumerate(section.quotas))
    stockouts = tuple(_stockout(number, each, pools) for number, each in enumerate(section.stockouts))
    is_simple = section.autoscaler == "simple"
    return ClusterRules(
        autoscaler=NodeAutoscaler() if is_simple else NodeAutoscaler.cluster_autoscaler(),
        quotas=quotas,
        stockouts=stockouts,
        scoring=section.scoring,
    )


def _in_pool(number: int, name: str, fault: str) -> str:
    """A fault of one pool, under the name that its field has in the file."""
    return f"cluster.{fault}" if fault.startswith("region:") else f"pools.{number}.{fault.removeprefix(f'{name}.')}"


def _pool(
    section: PoolSection,
    cluster: ClusterSection,
    profile: Profile,
    provision: Stage,
    machines: Mapping[str, MachineType],
) -> NodePool:
    fields: dict[str, Any] = {
        "min_nodes": section.min_nodes,
        "unneeded_seconds": section.unneeded_seconds,
        "provision": provision,
        "provision_step_seconds": section.provision_step_seconds,
        "zones": tuple(section.zones),
        "gpu_sharing": None if section.gpu_sharing is None else GpuSharing(**section.gpu_sharing.model_dump()),
        "taints": (GPU_TAINT, *section.taints),
        "priority": section.priority,
    }
    spot = None if section.spot is None else Spot(**section.spot.model_dump())
    if section.machine_type is None:
        assert section.gpus_per_node is not None, "the section asks for one of the two"
        return NodePool(
            name=section.name,
            gpus_per_node=section.gpus_per_node,
            gpu=section.gpu or profile.gpu,
            max_nodes=section.max_nodes,
            price_per_node_hour=section.price_per_node_hour,
            spot=spot,
            **fields,
        )
    pool = machine_pool(
        section.name,
        section.machine_type,
        max_nodes=section.max_nodes,
        spot=spot,
        region=cluster.region,
        boot_disk_bytes=section.boot_disk_gib * GIB,
        machines=machines,
        **fields,
    )
    return (
        pool if section.price_per_node_hour is None else replace(pool, price_per_node_hour=section.price_per_node_hour)
    )


def _quota(number: int, section: QuotaSection, pools: Sequence[NodePool]) -> Quota:
    known = gpu_of(section.gpu)
    quota = Quota(gpu=section.gpu if known is None else known.name, gpus=section.gpus, spot=section.spot)
    covered = [pool for pool in pools if quota.covers(pool.gpu, pool.spot is not None)]
    if not covered:
        gpus = ", ".join(dict.fromkeys(pool.gpu for pool in pools))
        raise BadInput(
            f"cluster.quotas.{number}.gpu: was {section.gpu!r}, must be one of {gpus}, the GPUs of the pools"
            f"{'' if section.spot is None else ', with a pool of that kind of nodes'}; correct it or leave it out"
        )
    least = sum(pool.min_nodes * pool.gpus_per_node for pool in covered)
    if least > quota.gpus:
        raise BadInput(
            f"cluster.quotas.{number}.gpus: was {quota.gpus}, must be at least {least}, the GPUs of the pools' "
            "min_nodes; raise it or lower min_nodes"
        )
    return quota


def _stockout(number: int, section: StockoutSection, pools: Sequence[NodePool]) -> Stockout | RandomStockouts:
    zones = list(dict.fromkeys(zone for pool in pools for zone in pool.zones))
    if section.zone is not None and section.zone not in zones:
        raise BadInput(
            f"cluster.stockouts.{number}.zone: was {section.zone!r}, must be one of {', '.join(zones) or 'none'}, the "
            "zones of the pools; correct it, or leave it out for all zones"
        )
    common: dict[str, Any] = {"spot": section.spot, "fails_after_seconds": section.fails_after_seconds}
    if section.start_minutes is not None and section.end_minutes is not None:
        return Stockout(
            zone=section.zone or "",
            start_seconds=60 * section.start_minutes,
            end_seconds=60 * section.end_minutes,
            **common,
        )
    assert section.mean_between_hours is not None
    assert section.length_median_minutes is not None
    return RandomStockouts(
        zone=section.zone or "",
        mean_between_seconds=3_600 * section.mean_between_hours,
        length=Stage(60 * section.length_median_minutes),
        **common,
    )
