"""How the real work of requests is told from what servers count, and what it changes."""

import math

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from policies.predictive.miss_model import MissModel
from policies.predictive.within_slo import WithinSLO
from policies.predictive.work_factor import WorkFactor

BASE, EACH = 0.030, 0.002
HOUR = 240
"""Samples of 15 s."""


def after(*, real: float, replicas: int = 4, batch: float = 10.0, samples: int = HOUR, noise: float = 0.0) -> float:
    """The factor learned from replicas with steps of BASE + real x EACH x batch."""
    chance = np.random.default_rng(1)
    work = WorkFactor()
    for _ in range(samples):
        step = BASE + real * EACH * batch
        seen = max(0.0, batch * replicas * (1.0 + noise * chance.standard_normal()))
        work = work.after(
            running=seen,
            tokens_per_second=batch * replicas / step,
            replicas=replicas,
            base_seconds=BASE,
            seconds_per_request=EACH,
            seconds=15.0,
        )
    return work.value


def test_before_anything_is_seen_the_profile_holds() -> None:
    assert WorkFactor().value == 1.0


@pytest.mark.parametrize("real", [0.6, 0.8, 1.0, 1.3, 1.7])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_busy_fleet_tells_it_within_an_hour(real: float, noise: float) -> None:
    assert after(real=real, noise=noise) == pytest.approx(real, rel=0.1)


def test_a_single_request_at_a_time_hardly_moves_it() -> None:
    """Its wait for others' work is within the noise of the gauge."""
    assert after(real=1.6, replicas=1, batch=0.5, noise=0.5) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(("real", "told"), [(0.01, 0.5), (10.0, 2.0)])
def test_what_cannot_be_is_bounded(real: float, told: float) -> None:
    assert after(real=real, samples=10 * HOUR) == pytest.approx(told, rel=0.05)


def test_tokens_faster_than_the_base_step_are_no_negative_work() -> None:
    work = WorkFactor()
    for _ in range(HOUR):
        work = work.after(
            running=8.0, tokens_per_second=1e4, replicas=1, base_seconds=BASE, seconds_per_request=EACH, seconds=15.0
        )
    assert work.seen == 0.0
    assert work.value == 0.5


def test_requests_that_are_twice_the_work_halve_the_load_that_meets_the_slo() -> None:
    def load(work_factor: float) -> float:
        within = WithinSLO.of(
            PROFILES["llama-3.1-8b-fp8-l4"],
            prompt_tokens=1_000,
            output_tokens=200,
            tpot_seconds=0.075,
            misses=MissModel(),
            work_factor=work_factor,
        )
        return within.load_for(0.95)

    assert load(2.0) == pytest.approx(load(1.0) / 2.0, rel=0.01)
    assert math.isfinite(load(0.5))
