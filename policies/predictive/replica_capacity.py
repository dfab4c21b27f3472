"""What one replica can do with the requests that come now: by the profile, their mean sizes and the SLO."""

import math
from functools import lru_cache

from policies.capacity.sustained import seconds_per_request, sustained_requests_per_second
from policies.predictive.demand import Demand
from policies.predictive.miss_model import MissModel
from policies.predictive.spec import PredictiveSpec
from policies.predictive.within_slo import WithinSLO

_SIZES = (1e-6, 1e9)
"""Mean tokens of a request: outside it is no size, but a float's end, and what is divided by it no rate."""


def sustained(spec: PredictiveSpec, sample: Demand) -> float | None:
    """Requests per second of one replica at the mean TPOT; None while the requests' sizes are unknown."""
    if sample.prompt_tokens is None or sample.output_tokens is None:
        return None
    if not all(_SIZES[0] <= size <= _SIZES[1] for size in (sample.prompt_tokens, sample.output_tokens)):
        return None
    rate = sustained_requests_per_second(
        spec.profile,
        prompt_tokens=sample.prompt_tokens,
        output_tokens=sample.output_tokens,
        tpot_seconds=spec.tpot_seconds,
    )
    return rate if rate > 0 else None


@lru_cache(maxsize=4)  # asked for twice in a step: what is delivered, then what is needed
def within_slo(spec: PredictiveSpec, misses: MissModel, sample: Demand, work_factor: float) -> WithinSLO | None:
    """What a replica delivers by its load; None while the requests' sizes are unknown."""
    if sustained(spec, sample) is None:
        return None
    assert sample.prompt_tokens is not None
    assert sample.output_tokens is not None
    return WithinSLO.of(
        spec.profile,
        prompt_tokens=sample.prompt_tokens,
        output_tokens=sample.output_tokens,
        tpot_seconds=spec.tpot_seconds,
        misses=misses,
        work_factor=work_factor,
    )


def step_per_request(spec: PredictiveSpec, sample: Demand) -> float:
    """Seconds that a request in the batch adds to a step, by the profile; their sizes must be known."""
    assert sample.prompt_tokens is not None
    assert sample.output_tokens is not None
    return seconds_per_request(spec.profile, sample.prompt_tokens, sample.output_tokens)


def log_room(spec: PredictiveSpec, sample: Demand, ready_replicas: int, work_factor: float) -> float:
    """ln(TPOT target / mean step) with the batch of now."""
    each = work_factor * step_per_request(spec, sample)
    step = spec.profile.base_seconds + each * sample.running / ready_replicas
    return math.log(spec.tpot_seconds / step)
