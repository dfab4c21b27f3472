"""Where `leadtime frontier` searches each policy's parameters: one row a parameter, the same number of settings each.

A row's bounds are in units of something that the demand gives (see UNITS), so that nothing here is of one data set.
Settings fill the space evenly: the n-th depends on n only, so that more settings add to those that there are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

UNITS = ("", "batch", "peak", "lead", "ttft", "tpot", "prefill", "kv")
"""1; requests a replica decodes at its mean TPOT target; replicas at the peak; the lead time in seconds; the SLO's
TTFT and TPOT in seconds; prompt tokens a replica prefills a second; tokens of its KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """low and high times the unit; low = high is one value for all settings. is_log: even in the logarithm.

    is_rest: what is left of 1. is_whole: rounded. choices: of these, evenly, instead.
    """

    field: str
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    is_log: bool = False
    is_rest: bool = False
    is_whole: bool = False
    choices: tuple[str, ...] = ()

    def text(self, place: float, units: Mapping[str, float]) -> str:
        """The value at `place` in [0, 1), as people would type it, to 4 significant digits."""
        if self.choices:
            return self.choices[int(place * len(self.choices))]
        scale = units[self.unit] if self.unit else 1.0
        value = self.low + (self.high - self.low) * place
        if self.is_log:
            value = self.low * (self.high / self.low) ** place
        if self.is_rest:
            value = 1.0 - value
        return str(round(value * scale)) if self.is_whole else f"{value * scale:.4g}"


def _log(field: str, low: float, high: float, unit: str = "") -> Range:
    return Range(field=field, low=low, high=high, unit=unit, is_log=True)


def _even(field: str, low: float, high: float, unit: str = "") -> Range:
    return Range(field=field, low=low, high=high, unit=unit)


def _whole(field: str, low: float, high: float, unit: str = "") -> Range:
    return Range(field=field, low=low, high=high, unit=unit, is_whole=True)


def _fixed(field: str, text: str) -> Range:
    return Range(field=field, choices=(text,))


_DOWN = _whole("scale_down_window_seconds", 0, 1_800)
_UP = _whole("scale_up_window_seconds", 0, 120)
_HPA = (_DOWN, _UP, _even("tolerance", 0.02, 0.2))
_AIBRIX = (
    _log("target_value", 0.2, 1.2, "batch"),
    _whole("stable_window_seconds", 30, 600),
    _whole("panic_window_seconds", 10, 60),
    _whole("scale_down_cooldown_seconds", 0, 1_800),
)
_LLMD = (_log("running_requests", 0.2, 1.2, "batch"), _log("queued_requests", 0.1, 5.0))
_DYNAMO = (_even("itl_seconds", 0.5, 1.1, "tpot"), _even("ttft_seconds", 0.1, 1.0, "ttft"))

RANGES: dict[str, tuple[Range, ...]] = {
    "leadtime": (
        Range(field="attainment", low=0.25, high=0.001, is_log=True, is_rest=True),
        _DOWN,
        Range(field="lead_time_seconds", low=1, high=1, unit="lead"),
    ),
    "hpa": (_fixed("metric", "vllm:kv_cache_usage_perc"), _log("target", 0.05, 0.9), *_HPA),
    "hpa-total-demand": (_log("target_requests", 0.2, 1.2, "batch"), *_HPA),
    "hpa-queue": (_log("target_requests", 0.02, 10.0), *_HPA),
    "hpa-batch-size": (_log("target_requests", 0.2, 1.2, "batch"), *_HPA),
    "hpa-duty-cycle": (_even("target_percent", 30, 90), *_HPA),
    "hpa-cpu": (_whole("target_percent", 30, 98), *_HPA),
    "llmd-queue": (*_LLMD, _DOWN, _whole("scale_up_window_seconds", 0, 300)),
    "llmd-queue-guard": (*_LLMD, _DOWN),
    "llmd-saturation": (
        _log("running_requests", 0.2, 1.2, "batch"),
        _even("pool_saturation", 0.1, 0.9),
        _DOWN,
        _whole("scale_up_window_seconds", 0, 300),
    ),
    "llmd-token-aware": (
        _log("peak_prefill_tokens_per_second", 0.05, 1.0, "prefill"),
        _log("prefill_backlog_seconds", 0.1, 5.0),
        _even("kv_cache_usage", 0.1, 0.9),
    ),
    "llmd-slo-aware": (
        _log("ttft_seconds", 0.3, 3.0, "ttft"),
        _log("tpot_seconds", 0.6, 2.0, "tpot"),
        _whole("smoothing_seconds", 15, 180),
        _even("scale_up_threshold", 0.4, 0.9),
        _even("scale_down_threshold", 0.1, 0.39),
    ),
    "keda-scaledobject": (
        _log("threshold", 0.2, 1.2, "batch"),
        _whole("polling_interval_seconds", 15, 60),
        _DOWN,
        _UP,
    ),
    "knative-kpa": (
        _log("target_concurrency", 0.3, 1.5, "batch"),
        _whole("stable_window_seconds", 30, 600),
        _even("panic_threshold_percentage", 110, 400),
        _whole("scale_down_delay_seconds", 0, 1_800),
        _fixed("enable_scale_to_zero", "false"),
    ),
    "phpa-linear": (
        _log("target_requests", 0.2, 1.2, "batch"),
        Range(field="look_ahead_milliseconds", low=10, high=1_500, unit="lead", is_whole=True),
        _whole("history_size", 6, 40),
        _DOWN,
    ),
    "phpa-holt-winters": (
        _log("target_requests", 0.2, 1.2, "batch"),
        _even("alpha", 0.1, 0.9),
        _even("beta", 0.01, 0.9),
        _even("gamma", 0.01, 0.9),
        _DOWN,
    ),
    "aibrix-apa": _AIBRIX,
    "aibrix-kpa": (*_AIBRIX, _even("panic_threshold", 1.1, 3.0), _fixed("multiply_by_pods", "true")),
    "wva-saturation-v2": (
        Range(field="kv_tokens_per_replica", low=1, high=1, unit="kv", is_whole=True),
        _even("kv_cache_threshold", 0.2, 0.9),
        _whole("queue_length_threshold", 1, 10),
        _even("scale_up_threshold", 0.5, 0.95),
        _even("scale_down_boundary", 0.2, 0.49),
        _whole("scale_down_window_seconds", 0, 1_800),
    ),
    "dynamo-throughput": (
        *_DYNAMO,
        _whole("throughput_interval_seconds", 60, 600),
        _fixed("predictor", "constant"),
    ),
    "dynamo-load": (
        *_DYNAMO,
        _even("load_scaling_down_sensitivity", 40, 100),
        _fixed("throughput_floor", "true"),
        _fixed("predictor", "constant"),
    ),
    "static": (Range(field="replicas", low=0.2, high=2.5, unit="peak", is_whole=True),),
    "schedule": (_even("scale", 0.5, 3.0),),
}
"""Policy -> what is searched. What is fixed and why: Knative without scale to zero, because a cold start would decide
alone; Dynamo with its predictor `constant`, because its ARIMA takes a second a fit; AIBrix's KPA with the factor that
makes its rule stable. `schedule` gets its windows from the training part: see leadtime/frontier_plan.py."""


def settings(name: str, count: int, units: Mapping[str, float]) -> Iterator[dict[str, str]]:
    """`count` settings of a policy, parameter -> text, different ones where rounding leaves so many.

    Points of the additive recurrence on the generalised golden ratio (M. Roberts, "The Unreasonable Effectiveness of
    Quasirandom Sequences", 2018): place k of dimension d is k / g^d modulo 1 from one half, g^(D + 1) = g + 1.
    """
    ranges = RANGES[name]
    varied = [each for each in ranges if each.low != each.high or len(each.choices) > 1]
    golden = 2.0
    for _ in range(64):
        golden = (1.0 + golden) ** (1.0 / (len(varied) + 1))
    steps = golden ** -np.arange(1.0, len(varied) + 1)
    seen, number = 0, 0
    known: set[tuple[str, ...]] = set()
    while seen < count and number < 20 * count:
        places = dict(zip([each.field for each in varied], (0.5 + number * steps) % 1.0, strict=True))
        values = {each.field: each.text(float(places.get(each.field, 0.0)), units) for each in ranges}
        number += 1
        if tuple(values.values()) not in known:
            known.add(tuple(values.values()))
            seen += 1
            yield values
