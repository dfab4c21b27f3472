"""A YAML file of machines and prices that adds to the table, or overrides it."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.errors import BadInput
from simulations.prices.machine import MachineType, Price, RegionPrice
from simulations.prices.table import MACHINES

_GIB = 2**30
_Usd = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]


class _RegionEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    on_demand_usd_per_hour: _Usd
    spot_usd_per_hour: _Usd | None = None
    source: str = "price file"
    as_of: date
    note: str = ""


class _MachineEntry(BaseModel):
    """What is left out is taken from the machine of that name in the table."""

    model_config = ConfigDict(extra="forbid")

    gpus: Annotated[int, Field(ge=1, le=16)] | None = None
    gpu: Annotated[str, Field(min_length=1)] | None = None
    vcpus: Annotated[int, Field(ge=1, le=1_024)] | None = None
    memory_gib: Annotated[float, Field(gt=0, le=32_768)] | None = None
    local_ssd_gib: Annotated[float, Field(ge=0, le=262_144)] | None = None
    prices: Annotated[dict[str, _RegionEntry], Field(min_length=1)]


class _PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    machines: Annotated[dict[str, _MachineEntry], Field(min_length=1)]


def read_prices(path: str | Path, machines: Mapping[str, MachineType] = MACHINES) -> dict[str, MachineType]:
    """The table with the file's machines and prices. Raises BadInput that names the file and the field."""
    document = _document(Path(path))
    try:
        given = _PriceFile.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        was = "missing" if first["type"] == "missing" else f"{first['input']!r}"
        raise BadInput(f"{path}: {where}: was {was}; {first['msg'][0].lower() + first['msg'][1:]}") from None
    merged = dict(machines)
    for name, entry in given.machines.items():
        merged[name] = _machine(path, name, entry, merged.get(name))
    return merged


def _machine(path: str | Path, name: str, entry: _MachineEntry, known: MachineType | None) -> MachineType:
    fields: dict[str, Any] = {
        "gpus": entry.gpus,
        "gpu": entry.gpu,
        "vcpus": entry.vcpus,
        "memory_bytes": None if entry.memory_gib is None else round(entry.memory_gib * _GIB),
        "local_ssd_bytes": None if entry.local_ssd_gib is None else round(entry.local_ssd_gib * _GIB),
    }
    for key, value in fields.items():
        if value is None:
            fields[key] = None if known is None else getattr(known, key)
    if fields["local_ssd_bytes"] is None:
        fields["local_ssd_bytes"] = 0
    missing = [key.replace("_bytes", "_gib") for key, value in fields.items() if value is None]
    if missing:
        raise BadInput(
            f"{path}: machines.{name}.{missing[0]}: was missing, must be given for a machine that the table has not"
        )
    prices = {region: _price(each) for region, each in entry.prices.items()}
    before = {} if known is None else known.prices
    return MachineType(name=name, prices=prices | {key: before[key] for key in before if key not in prices}, **fields)


def _price(entry: _RegionEntry) -> RegionPrice:
    def of(usd: float) -> Price:
        return Price(usd_per_hour=usd, source=entry.source, as_of=entry.as_of.isoformat(), note=entry.note)

    spot = entry.spot_usd_per_hour
    return RegionPrice(on_demand=of(entry.on_demand_usd_per_hour), spot=None if spot is None else of(spot))


def _document(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"prices: {path} cannot be read ({error.strerror}); give a file that exists") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"prices: {path} is not YAML ({' '.join(str(error).split())})") from None
