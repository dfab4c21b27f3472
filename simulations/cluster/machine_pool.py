"""A node pool of a machine type: its GPUs, what it leaves to pods and its price, from the price table."""

from collections.abc import Mapping
from typing import Any

from simulations.cluster.node_pool import NodePool
from simulations.cluster.resources import GIB, gke_allocatable
from simulations.cluster.spot import Spot
from simulations.prices import MACHINES, MachineType, machine_price, machine_type


def machine_pool(
    name: str,
    machine: str,
    *,
    max_nodes: int,
    spot: Spot | None = None,
    region: str | None = None,
    boot_disk_bytes: int = 100 * GIB,
    machines: Mapping[str, MachineType] = MACHINES,
    **fields: Any,
) -> NodePool:
    """A pool of that machine on GKE, priced as spot where `spot` is given; `fields` are NodePool's others.

    region: as `machine_price` takes it. Raises BadInput for a machine or a price that the table has not.
    """
    kind = machine_type(machine, machines)
    price = machine_price(machine, region, spot=spot is not None, machines=machines)
    return NodePool(
        name=name,
        gpus_per_node=kind.gpus,
        gpu=kind.gpu,
        max_nodes=max_nodes,
        machine_type=machine,
        spot=spot,
        price_per_node_hour=price.usd_per_hour,
        allocatable=gke_allocatable(kind.vcpus, kind.memory_bytes, boot_disk_bytes),
        **fields,
    )
