"""What the adapter knows without being told: metrics of serving systems and GPUs, and the rules that serve them.

One file per system, each with METRICS (what its exporter writes) and RULES (what is served: every gauge and counter as
it is, and what is worked out of them). Its docstring says where the names were checked.

Reducers: a pod runs several engines (data parallel) or holds several GPUs. Counts and bytes add up to the pod's;
ratios and percentages are averaged, so a pod with two GPUs at 60 % is at 60 %, not 120 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapter.sources.catalogue import (
    applications,
    dcgm,
    gke,
    inference_gateway,
    leadtime,
    nim,
    sglang,
    tgi,
    torchserve,
    triton,
    vllm,
)
from adapter.sources.catalogue.metric import Kind, Metric, System
from adapter.sources.rule import Rule, reduce

__all__ = [
    "CATALOGUE",
    "RULES",
    "SERIES_NAMES",
    "Kind",
    "Metric",
    "SeriesName",
    "System",
    "combine",
    "find",
    "find_any_case",
]

_SYSTEMS = (vllm, dcgm, gke, triton, torchserve, nim, tgi, sglang, inference_gateway, leadtime, applications)

CATALOGUE: tuple[Metric, ...] = tuple(metric for system in _SYSTEMS for metric in system.METRICS)
"""Every metric, by system."""

RULES: tuple[Rule, ...] = tuple(rule for system in _SYSTEMS for rule in system.RULES)
"""Every built-in rule, by system."""


@dataclass(frozen=True, slots=True)
class SeriesName:
    """One name a value can be asked for by, and the current name it is stored under.

    age: 0 for the current spelling, 1 for the one before it, and so on.
    """

    name: str
    current: str
    age: int
    metric: Metric


def find(name: str) -> SeriesName | None:
    """Look a series name up, spelled exactly; None if the catalogue does not hold it.

    Of a histogram the `_sum` and `_count` series are values of a pod; a `_bucket` alone is not, and is
    not found.
    """
    return _BY_NAME.get(name)


def find_any_case(name: str) -> SeriesName | None:
    """Look a series name up in any letter case (client-go lower-cases the names of external metrics)."""
    return _BY_LOWER_NAME.get(name.lower())


def combine(metric: Metric, values: Sequence[float]) -> float:
    """One pod's value from its series' values (one or more, in the metric's unit)."""
    return reduce(metric.reducer, values)


def _series_names(metric: Metric) -> list[SeriesName]:
    suffixes = ("_sum", "_count") if metric.kind == "histogram" else ("",)
    return [
        SeriesName(spelling + suffix, metric.name + suffix, age, metric)
        for age, spelling in enumerate(metric.spellings)
        for suffix in suffixes
    ]


SERIES_NAMES: tuple[SeriesName, ...] = tuple(name for metric in CATALOGUE for name in _series_names(metric))
_BY_NAME = {series.name: series for series in SERIES_NAMES}
_BY_LOWER_NAME = {series.name.lower(): series for series in SERIES_NAMES}
