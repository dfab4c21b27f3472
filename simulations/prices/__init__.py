"""What machines with GPUs have and cost: a table with date and source, and the user's own prices in a file."""

from simulations.prices.age import OLD_DAYS, age_days
from simulations.prices.lookup import machine_price, machine_type, machines_with
from simulations.prices.machine import MachineType, Price, RegionPrice
from simulations.prices.price_file import read_prices
from simulations.prices.table import MACHINES

__all__ = [
    "MACHINES",
    "OLD_DAYS",
    "MachineType",
    "Price",
    "RegionPrice",
    "age_days",
    "machine_price",
    "machine_type",
    "machines_with",
    "read_prices",
]
