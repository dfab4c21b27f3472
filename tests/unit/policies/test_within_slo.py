"""What a replica delivers by its load: the queueing of a step, and how widely requests spread around it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.profile import profile_named
from policies.predictive.missed import TPOT_MISSED, missed_queries, missed_shares
from policies.predictive.within_slo import Spread, WithinSLO, share_within
from policies.snapshot import ExternalMetric, MetricError, Snapshot

PROFILE = profile_named("llama-3.1-8b-fp8-l4")
TPOT = 0.075


def within(spread: float = 0.13, *, prompt: float = 1_000, output: float = 200, seats: int | None = None) -> WithinSLO:
    profile = PROFILE if seats is None else replace(PROFILE, max_num_seqs=seats)
    return WithinSLO.of(profile, prompt_tokens=prompt, output_tokens=output, tpot_seconds=TPOT, spread=spread)


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


@given(spread=st.floats(0.03, 0.6), low=st.floats(0.5, 0.999), high=st.floats(0.5, 0.999))
def test_more_attainment_takes_less_load(spread: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    each = within(spread)
    assert each.load_for(low) >= each.load_for(high) > 0.0
    assert (np.diff(each.shares) <= 0).all()


@pytest.mark.parametrize("true_spread", [0.06, 0.13, 0.3])
def test_the_spread_is_learned_from_what_missed(true_spread: float) -> None:
    chance = np.random.default_rng(1)
    spread = Spread.prior()
    for _ in range(3_000):
        room = chance.uniform(0.05, 0.5)
        missed = 1.0 - float(share_within(np.asarray(room), true_spread))
        spread = spread.seen(log_room=room, requests=100.0, missed_share=missed, seconds=15.0)
    assert spread.value == pytest.approx(true_spread, rel=0.05)


def test_before_anything_is_seen_it_is_the_prior_and_overload_teaches_nothing() -> None:
    spread = Spread.prior()
    assert spread.value == pytest.approx(0.13, rel=0.01)
    assert spread.seen(log_room=-0.2, requests=1e6, missed_share=0.9, seconds=15.0) is spread


@given(
    rooms=st.lists(st.floats(-2, 2), min_size=1, max_size=20),
    missed=st.floats(0, 1),
    requests=st.floats(0, 1e9),
    seconds=st.floats(0, 1e7),
)
def test_the_spread_stays_within_its_grid(rooms: list[float], missed: float, requests: float, seconds: float) -> None:
    spread = Spread.prior()
    for room in rooms:
        spread = spread.seen(log_room=room, requests=requests, missed_share=missed, seconds=seconds)
    assert 0.02 <= spread.value <= 0.8


def test_shares_are_read_from_the_two_series_and_unknown_where_there_is_none() -> None:
    ttft, tpot = missed_queries(2.0, TPOT)
    assert (tpot.name, tpot.selector) == (TPOT_MISSED, (("le", "0.075"),))
    known = Snapshot(replicas=1, observations={ttft: ExternalMetric((2_500,)), tpot: MetricError("none")})
    assert missed_shares(known, 2.0, TPOT) == (0.025, None)
    assert missed_shares(Snapshot(replicas=1), 2.0, TPOT) == (None, None)
    assert missed_shares(known, 1.0, TPOT)[0] is None, "of another target"
