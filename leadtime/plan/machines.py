"""Machine types that hold a GPU and have a price where the planner buys."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from policies.capacity.gpus import gpu_of
from policies.errors import BadInput
from simulations.prices import MACHINES, MachineType, machine_price, read_prices

WHERE = "simulations/prices/table.py, or to a file of your own with --prices (docs/reference/plan.md)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """gpu: short name as in profiles' names. usd_per_hour: on demand, of the whole machine; spot: None for no price.

    as_of, spot_as_of: the days of the two prices, or as much of them as is known.
    """

    name: str
    gpu: str
    gpus: int
    region: str
    usd_per_hour: float
    spot_usd_per_hour: float | None
    source: str
    as_of: str
    spot_source: str = ""
    spot_as_of: str = ""


def known_machines(file: Path | None) -> Mapping[str, MachineType]:
    """The shipped table, and what a file of prices adds to it or says otherwise. Raises BadInput."""
    return MACHINES if file is None else read_prices(file)


def machines_with(gpu: str, machines: Mapping[str, MachineType], region: str | None) -> list[Machine]:
    """Those with this GPU and a price in the region, cheapest GPU first; region: None for each machine's own.

    gpu: short name, or a name that no table knows, as it is.
    """
    found = []
    for name, listed in machines.items():
        own = gpu_of(listed.gpu)
        if gpu != (listed.gpu.casefold() if own is None else own.short_name):
            continue
        machine = _priced(name, gpu, region, machines)
        if machine is not None:
            found.append(machine)
    return sorted(found, key=lambda each: (each.usd_per_hour / each.gpus, each.gpus, each.name))


def _priced(name: str, gpu: str, region: str | None, machines: Mapping[str, MachineType]) -> Machine | None:
    """None where it has no price there."""
    listed = machines[name]
    where = next(iter(listed.prices), None) if region is None else region
    try:
        steady = machine_price(name, where, machines=machines)
    except BadInput:
        return None
    assert where is not None, "a machine with a price has a region"
    spot = listed.prices[where].spot
    return Machine(
        name=name,
        gpu=gpu,
        gpus=listed.gpus,
        region=where,
        usd_per_hour=steady.usd_per_hour,
        spot_usd_per_hour=None if spot is None else spot.usd_per_hour,
        source=steady.source,
        as_of=steady.as_of,
        spot_source="" if spot is None else spot.source,
        spot_as_of="" if spot is None else spot.as_of,
    )
