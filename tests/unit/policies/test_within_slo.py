"""What a replica delivers by its load: the queueing of a step, and how widely requests spread around it."""

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.capacity.profile import profile_named
from policies.predictive.miss_model import MissModel
from policies.predictive.missed import TPOT_MISSED, missed_queries, missed_shares
from policies.predictive.within_slo import WithinSLO
from policies.snapshot import ExternalMetric, MetricError, Snapshot

PROFILE = profile_named("llama-3.1-8b-fp8-l4")
TPOT = 0.075


PRIOR = MissModel()


def within(misses: MissModel = PRIOR, *, seats: int | None = None) -> WithinSLO:
    profile = PROFILE if seats is None else replace(PROFILE, max_num_seqs=seats)
    return WithinSLO.of(profile, prompt_tokens=1_000, output_tokens=200, tpot_seconds=TPOT, misses=misses)


def test_at_a_load_of_one_the_mean_step_is_the_target_and_half_of_the_requests_miss_it() -> None:
    each = within()
    assert np.interp(1.0, each.loads, each.shares) == pytest.approx(0.5, abs=0.03)
    assert each.shares[0] > 0.999
    assert each.most > 1.2, "a batch that is slower than the target is still stable"


def test_the_load_for_an_attainment_follows_from_the_step_time() -> None:
    """Phi(ln(target / s) / 0.13) = 0.99 where s = target x e^(-2.326 x 0.13); a step is base / (1 - busy)."""
    busy = [1 - PROFILE.base_seconds / step for step in (TPOT * math.exp(-2.3263 * 0.13), TPOT)]
    assert within().load_for(0.99) == pytest.approx(busy[0] / busy[1], rel=0.02)


def test_few_seats_bound_the_load_before_the_step_does() -> None:
    """With seats for 4 the step never gets near the target: everything that is served is within it."""
    each = within(seats=4)
    assert each.most < 1.0
    assert each.shares[-1] > 0.99
    assert each.load_for(0.95) == each.most


def learned(misses: Callable[[float], float], rooms: tuple[float, float], *, requests: float = 100.0) -> MissModel:
    """After 3,000 samples at rooms in this range, of which a share missed as `misses` says."""
    chance, model = np.random.default_rng(1), MissModel()
    for _ in range(3_000):
        room = chance.uniform(*rooms)
        model = model.seen(log_room=room, requests=requests, missed_share=misses(room), seconds=15.0)
    return model


def lognormal(spread: float) -> Callable[[float], float]:
    return lambda room: NormalDist().cdf(-room / spread)


def exponential(room: float) -> float:
    """Far more than a lognormal's beyond twice its scale: half at the target, 4 % at e^-0.5 of it."""
    return 0.5 * math.exp(-5.0 * room)


@given(spread=st.floats(0.03, 0.6), low=st.floats(0.5, 0.999), high=st.floats(0.5, 0.999))
@settings(max_examples=10)
def test_more_attainment_takes_less_load(spread: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    each = within(learned(lognormal(spread), (0.0, 0.6)))
    assert each.load_for(low) >= each.load_for(high) > 0.0
    assert (np.diff(each.shares) <= 1e-12).all()


@pytest.mark.parametrize("misses", [lognormal(0.06), lognormal(0.13), lognormal(0.3), exponential])
def test_which_requests_miss_is_learned_whatever_shape_it_has(misses: Callable[[float], float]) -> None:
    model = learned(misses, (0.05, 0.5))
    for room in (0.12, 0.27, 0.42):
        assert float(model.missed_at(room)) == pytest.approx(misses(room), rel=0.1, abs=0.005)


def test_with_more_room_than_was_seen_misses_fall_slowly() -> None:
    """The prior alone would say none at 0.6, where four times the replicas are; nobody has seen that yet."""
    model = learned(exponential, (0.05, 0.3))
    assert 0.1 * exponential(0.3) < float(model.missed_at(0.6)) < 0.3 * exponential(0.3)


def test_what_misses_at_any_load_is_not_chased() -> None:
    """4 % do, as prompts that take longer than the TTFT target: 99 % is not to be had. It is known once idle servers
    were seen, and then twice the replicas for the last ones are not asked for; 90 % is sized for as before."""
    model = learned(lambda room: 0.04 + 0.96 * lognormal(0.13)(room), (0.05, 0.82))
    each = within(model)
    assert each.aim(0.90) == 0.90
    assert 0.94 < each.aim(0.99) < 0.96
    assert each.load_for(0.99) == each.load_for(0.999) > 0.3
    assert within().aim(0.99) == 0.99


def test_beyond_the_target_at_least_half_miss_and_nothing_is_learned() -> None:
    model = MissModel()
    assert model.seen(log_room=-0.2, requests=1e6, missed_share=0.1, seconds=15.0) is model
    assert float(model.missed_at(0.0)) == 0.5
    assert 0.9 < float(model.missed_at(-0.2)) <= 1.0


@given(
    rooms=st.lists(st.floats(-2, 4), min_size=1, max_size=20),
    missed=st.floats(0, 1),
    requests=st.floats(0, 1e9),
    seconds=st.floats(0, 1e7),
)
def test_shares_are_shares_and_never_rise_with_room(
    rooms: list[float], missed: float, requests: float, seconds: float
) -> None:
    model = MissModel()
    for room in rooms:
        model = model.seen(log_room=room, requests=requests, missed_share=missed, seconds=seconds)
    shares = model.missed_at(np.linspace(-1.0, 3.0, 200))
    assert ((shares >= 0.0) & (shares <= 1.0)).all()
    assert (np.diff(shares) <= 1e-12).all()
    assert model.is_whole


def test_shares_are_read_from_the_two_series_and_unknown_where_there_is_none() -> None:
    ttft, tpot = missed_queries(2.0, TPOT)
    assert (tpot.name, tpot.selector) == (TPOT_MISSED, (("le", "0.075"),))
    known = Snapshot(replicas=1, observations={ttft: ExternalMetric((2_500,)), tpot: MetricError("none")})
    assert missed_shares(known, 2.0, TPOT) == (0.025, None)
    assert missed_shares(Snapshot(replicas=1), 2.0, TPOT) == (None, None)
    assert missed_shares(known, 1.0, TPOT)[0] is None, "of another target"
