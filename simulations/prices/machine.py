"""A machine type, and its price in a region."""

from dataclasses import dataclass, field

from policies.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD for an hour of one machine, all its GPUs included, without disks, network and cluster fee. Raises BadInput.

    as_of: the day of the source, YYYY-MM-DD, or its year where only that is known.
    note: what else is published, and why this was taken.
    """

    usd_per_hour: float
    source: str
    as_of: str
    note: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.usd_per_hour < float("inf"):
            raise BadInput(f"usd_per_hour: was {self.usd_per_hour}, must be 0 or more USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionPrice:
    """Of one region. spot: None where no spot price is known."""

    on_demand: Price
    spot: Price | None = None

    @property
    def spot_discount(self) -> float | None:
        """Share of the on-demand price that spot saves."""
        if self.spot is None or self.on_demand.usd_per_hour == 0:
            return None
        return 1.0 - self.spot.usd_per_hour / self.on_demand.usd_per_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineType:
    """What a node of this type has. Raises BadInput.

    gpu: as profiles and node labels spell it (policies/capacity/gpus.py). local_ssd_bytes: bundled with it.
    prices: by region, the machine's own first.
    """

    name: str
    gpus: int
    gpu: str
    vcpus: int
    memory_bytes: int
    local_ssd_bytes: int = 0
    prices: dict[str, RegionPrice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("gpus", 1), ("vcpus", 1), ("memory_bytes", 1), ("local_ssd_bytes", 0)):
            if getattr(self, name) < least:
                raise BadInput(f"{self.name}.{name}: was {getattr(self, name)}, must be at least {least}")
