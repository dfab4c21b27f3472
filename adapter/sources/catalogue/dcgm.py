"""NVIDIA's DCGM exporter: one series per GPU, about the pod that holds it.

Names, types and units: NVIDIA/dcgm-exporter `etc/default-counters.csv`; the profiling fields (`_PROF_`) in
`etc/dcp-metrics-included.csv`, where SM_ACTIVE is a comment, so that it exists only where somebody switched it on.
A pod's share of a GPU that several pods use is not known: such series have no value.
"""

from adapter.sources.catalogue.metric import Kind, Metric, raw_rules
from adapter.sources.rule import Reducer, Rule


def _metric(
    name: str,
    unit: str,
    reducer: Reducer,
    *,
    aliases: tuple[str, ...] = (),
    across: Reducer | None = None,
    kind: Kind = "gauge",
) -> Metric:
    return Metric(name=name, aliases=aliases, kind=kind, unit=unit, reducer=reducer, across=across, system="dcgm")


METRICS: tuple[Metric, ...] = (
    _metric(
        "DCGM_FI_DEV_GPU_UTIL",
        "percent",
        "mean",
        aliases=("DCGM_FI_DEV_GPU_UTIL_AVG", "gpu_utilization"),  # prometheus-adapter configurations' names for it
    ),
    _metric("DCGM_FI_DEV_MEM_COPY_UTIL", "percent", "mean"),
    _metric("DCGM_FI_DEV_FB_USED", "MiB", "sum"),
    _metric("DCGM_FI_DEV_FB_FREE", "MiB", "sum"),
    _metric("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "ratio", "mean"),
    _metric("DCGM_FI_PROF_SM_ACTIVE", "ratio", "mean"),
    _metric("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "ratio", "mean"),
    _metric("DCGM_FI_PROF_DRAM_ACTIVE", "ratio", "mean"),
    _metric("DCGM_FI_DEV_GPU_TEMP", "celsius", "max"),
    _metric("DCGM_FI_DEV_POWER_USAGE", "watts", "sum"),
    _metric("DCGM_FI_DEV_SM_CLOCK", "MHz", "mean"),
)

RULES: tuple[Rule, ...] = raw_rules(METRICS)
