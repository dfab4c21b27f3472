"""The one table of metric names: how exporters spell them, their units, and how a pod's series combine.

Names checked in vLLM `vllm/v1/metrics/loggers.py` (0.9 to 0.12: `gpu_cache_usage_perc` became
`kv_cache_usage_perc` in 0.9.2; `time_per_output_token_seconds` became `inter_token_latency_seconds` in
0.11, while `request_time_per_output_token_seconds` is another quantity: one observation a request) and in
DCGM exporter `etc/default-counters.csv`.

Reducers: a pod runs several engines (data parallel) or holds several GPUs. Counts and bytes add up to the
pod's; ratios and percentages are averaged, so a pod with two GPUs at 60 % is at 60 %, not 120 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of one system.

    name: as the exporter spells it today; of a histogram, the name without `_bucket`, `_sum`, `_count`.
    older_names: spellings of older versions for the same quantity, newest first.
    unit: as on the wire (percent stays percent); of a histogram, the unit of one observation.
    reducer: how several series of one pod become the pod's one value.
    """

    name: str
    older_names: tuple[str, ...] = ()
    kind: Kind
    unit: str
    reducer: Literal["sum", "mean"]
    system: Literal["vllm", "dcgm"]


CATALOGUE: tuple[Metric, ...] = (
    Metric(name="vllm:num_requests_waiting", kind="gauge", unit="requests", reducer="sum", system="vllm"),
    Metric(name="vllm:num_requests_running", kind="gauge", unit="requests", reducer="sum", system="vllm"),
    Metric(
        name="vllm:kv_cache_usage_perc",
        older_names=("vllm:gpu_cache_usage_perc",),
        kind="gauge",
        unit="ratio",  # 0..1, in spite of the name
        reducer="mean",
        system="vllm",
    ),
    Metric(name="vllm:prompt_tokens_total", kind="counter", unit="tokens", reducer="sum", system="vllm"),
    Metric(name="vllm:generation_tokens_total", kind="counter", unit="tokens", reducer="sum", system="vllm"),
    Metric(name="vllm:request_success_total", kind="counter", unit="requests", reducer="sum", system="vllm"),
    Metric(name="vllm:num_preemptions_total", kind="counter", unit="preemptions", reducer="sum", system="vllm"),
    Metric(
        name="vllm:time_to_first_token_seconds",
        kind="histogram",
        unit="seconds",
        reducer="sum",
        system="vllm",
    ),
    Metric(
        name="vllm:request_time_per_output_token_seconds",
        kind="histogram",
        unit="seconds",
        reducer="sum",
        system="vllm",
    ),
    Metric(
        name="vllm:inter_token_latency_seconds",
        older_names=("vllm:time_per_output_token_seconds",),
        kind="histogram",
        unit="seconds",
        reducer="sum",
        system="vllm",
    ),
    Metric(
        name="vllm:e2e_request_latency_seconds",
        kind="histogram",
        unit="seconds",
        reducer="sum",
        system="vllm",
    ),
    Metric(name="DCGM_FI_DEV_GPU_UTIL", kind="gauge", unit="percent", reducer="mean", system="dcgm"),
    Metric(name="DCGM_FI_DEV_FB_USED", kind="gauge", unit="MiB", reducer="sum", system="dcgm"),
    Metric(name="DCGM_FI_DEV_FB_FREE", kind="gauge", unit="MiB", reducer="sum", system="dcgm"),
)


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
    total = sum(values)
    return total / len(values) if metric.reducer == "mean" else total


def _series_names(metric: Metric) -> list[SeriesName]:
    suffixes = ("_sum", "_count") if metric.kind == "histogram" else ("",)
    return [
        SeriesName(spelling + suffix, metric.name + suffix, age, metric)
        for age, spelling in enumerate((metric.name, *metric.older_names))
        for suffix in suffixes
    ]


SERIES_NAMES: tuple[SeriesName, ...] = tuple(name for metric in CATALOGUE for name in _series_names(metric))
_BY_NAME = {series.name: series for series in SERIES_NAMES}
_BY_LOWER_NAME = {series.name.lower(): series for series in SERIES_NAMES}
