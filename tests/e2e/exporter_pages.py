"""Metrics pages as text: of series that a test has told, and as the faults of an exporter change them."""

import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from adapter.sources.catalogue import CATALOGUE

KINDS: Mapping[str, str] = MappingProxyType(
    {spelling: metric.kind for metric in CATALOGUE for spelling in metric.spellings}
)
"""Series -> its TYPE, by every spelling that the catalogue knows."""

OWN_LABELS: Mapping[str, Mapping[str, str]] = {
    "vllm": {"engine": "0", "model_name": "llama"},
    "nim": {"model_name": "llama"},
    "sglang": {"engine_type": "unified", "model_name": "llama"},
    "triton": {"model": "llama", "version": "1"},
    "torchserve": {"model_name": "llama", "model_version": "default", "hostname": "localhost"},
    "broker": {"queue": "prompts"},
}
"""System -> the labels that its exporter writes beside the value; none of them names the pod."""

Sample = tuple[str, Mapping[str, str], float]
"""Name, labels, value."""


def page_text(samples: Iterable[Sample]) -> str:
    """The text format 0.0.4; samples of one name must follow each other."""
    lines: list[str] = []
    typed = ""
    for name, labels, value in samples:
        if name != typed:
            lines.append(f"# TYPE {name} {KINDS.get(name, 'untyped')}")
            typed = name
        text = ",".join(f'{key}="{value}"' for key, value in labels.items())
        lines.append(f"{name}{{{text}}} {_number(value)}")
    return "\n".join(lines) + "\n"


def gpu_samples(series: Mapping[str, float], *, namespace: str, pod: str, container: str, node: str) -> list[Sample]:
    """What a DCGM exporter says of the one GPU of a pod, labelled as dcgm-exporter does."""
    labels = {
        "gpu": "0",
        "UUID": f"GPU-{namespace}-{pod}",
        "device": "nvidia0",
        "modelName": "NVIDIA L4",
        "Hostname": node,
        "container": container,
        "namespace": namespace,
        "pod": pod,
    }
    return [(name, labels, value) for name, value in series.items()]


def without_numbers(text: str) -> str:
    """The page of an exporter that lost its values: every one is NaN."""
    return _each_sample(text, lambda series, _: f"{series} NaN")


def at_time(text: str, milliseconds: int) -> str:
    """The page of an exporter that repeats old samples: each with its own time, Unix milliseconds."""
    return _each_sample(text, lambda series, value: f"{series} {value} {milliseconds}")


def _each_sample(text: str, change: Callable[[str, str], str]) -> str:
    lines = [line if line.startswith("#") or not line else change(*line.rsplit(" ", 1)) for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(float(value))
