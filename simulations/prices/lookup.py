"""Finding a machine type and its price; what is missing is named, with where to add it."""

import difflib
from collections.abc import Mapping

from policies.capacity.gpus import gpu_of
from policies.errors import BadInput
from simulations.prices.machine import MachineType, Price
from simulations.prices.table import MACHINES

_WHERE = "add it to a file of prices (docs/reference/cluster.md, `Prices`)"


def machine_type(name: str, machines: Mapping[str, MachineType] = MACHINES) -> MachineType:
    """The machine of that name, or BadInput with the nearest names."""
    if name not in machines:
        near = difflib.get_close_matches(name, machines, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}? Else " if near else ""
        raise BadInput(f"machine_type: was {name!r}, which has no entry; {hint}{_WHERE}")
    return machines[name]


def machine_price(
    name: str,
    region: str | None = None,
    spot: bool = False,
    machines: Mapping[str, MachineType] = MACHINES,
) -> Price:
    """Of one machine for an hour. region: by default the one that the table has it for. Raises BadInput."""
    machine = machine_type(name, machines)
    if not machine.prices:
        raise BadInput(f"{name}.prices: was empty, must have a region; {_WHERE}")
    chosen = next(iter(machine.prices)) if region is None else region
    if chosen not in machine.prices:
        raise BadInput(
            f"region: was {chosen!r}, for which {name} has no price, only for {', '.join(machine.prices)}; "
            f"choose one of these, or {_WHERE}"
        )
    price = machine.prices[chosen]
    if not spot:
        return price.on_demand
    if price.spot is None:
        raise BadInput(f"{name}.spot_usd_per_hour: was missing for {chosen}; {_WHERE}")
    return price.spot


def machines_with(
    gpu: str, *, at_least: int = 1, machines: Mapping[str, MachineType] = MACHINES
) -> tuple[MachineType, ...]:
    """The machines with that GPU, however people write it, and at least so many; cheapest for a GPU first.

    Raises BadInput for a GPU without any, or without one that is large enough.
    """
    name = _gpu_name(gpu, machines)
    found = [machine for machine in machines.values() if machine.gpu == name]
    if not found:
        known = ", ".join(sorted({machine.gpu for machine in machines.values()}))
        raise BadInput(f"gpu: was {gpu!r}, for which there is no machine; must be one of {known}, or {_WHERE}")
    large = [machine for machine in found if machine.gpus >= at_least]
    if not large:
        raise BadInput(
            f"gpus_per_replica: was {at_least}, must be in [1, {max(each.gpus for each in found)}], the GPUs of the "
            f"largest machine with {name}; split the model over fewer GPUs, or {_WHERE}"
        )
    return tuple(sorted(large, key=lambda machine: (_usd_per_gpu(machine), machine.gpus, machine.name)))


def _gpu_name(gpu: str, machines: Mapping[str, MachineType]) -> str:
    if any(machine.gpu == gpu for machine in machines.values()):
        return gpu
    known = gpu_of(gpu)
    if known is not None:
        return known.name
    words = gpu.casefold().replace("_", "-").replace(" ", "-")
    if "a100" in words and "40gb" in words:
        return "NVIDIA-A100-SXM4-40GB"
    return gpu


def _usd_per_gpu(machine: MachineType) -> float:
    prices = [price.on_demand.usd_per_hour for price in machine.prices.values()]
    return round(min(prices) / machine.gpus, 4) if prices else float("inf")
