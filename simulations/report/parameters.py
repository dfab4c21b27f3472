"""What a scenario says, as flat names and values; and how several scenarios differ."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from simulations.scenario import Scenario


def parameters(scenario: Scenario) -> dict[str, str]:
    """Dotted name -> value in words. Demand is its name and length; what is not a plain value is left out."""
    return dict(_flat("", scenario))


def common_and_differing(each: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[str]]:
    """(name -> value of what all have alike, names of what differs, in order of appearance).

    What one does not have at all differs as well.
    """
    names = list(dict.fromkeys(name for mapping in each for name in mapping))
    differing = [name for name in names if len({mapping.get(name) for mapping in each}) > 1]
    return {name: each[0][name] for name in names if name not in set(differing)}, differing


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if hasattr(value, "pieces"):  # a Demand
        return [(prefix, value.name), (f"{prefix}.minutes", f"{value.duration_seconds / 60:.1f}")]
    if is_dataclass(value):
        return [
            pair
            for field in fields(value)
            for pair in _flat(f"{prefix}.{field.name}" if prefix else field.name, getattr(value, field.name))
        ]
    if isinstance(value, tuple | list):
        return [pair for index, item in enumerate(value) for pair in _flat(f"{prefix}.{index}", item)]
    if value is None:
        return [(prefix, "none")]
    if isinstance(value, str | bool | int | float):
        return [(prefix, f"{value:g}" if isinstance(value, float) else str(value))]
    return []
