"""Demand as counts: nothing is lost but what ends in no whole bin, and thinning aims at the peak."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.profile import profile_named
from policies.errors import BadInput
from simulations.counts.capacity import keep_for_peak, kept, needed_replicas, peak_replicas
from simulations.counts.demand_counts import BIN_SECONDS, Counts, count
from simulations.demand.text import demand_from
from simulations.trace import Trace

PROFILE = profile_named("llama-3.1-8b-fp8-l4")
TPOT = 0.075


def trace(seed: int, requests: int, seconds: float) -> Trace:
    rng = np.random.default_rng(seed)
    return Trace(
        "drawn",
        10**18,
        np.sort(rng.uniform(0, seconds, requests)),
        rng.integers(1, 2_000, requests).astype(np.int32),
        rng.integers(1, 400, requests).astype(np.int32),
        ends_seconds=seconds,
    )


@given(seed=st.integers(0, 2**32 - 1), requests=st.integers(1, 200), bins=st.integers(1, 30))
def test_every_request_of_whole_bins_is_counted_once(seed: int, requests: int, bins: int) -> None:
    demand = trace(seed, requests, bins * float(BIN_SECONDS))
    counts = count(demand)
    prompts, outputs = demand.prompt_tokens.astype(float), demand.output_tokens.astype(float)
    assert counts.bins == bins
    assert counts.requests.sum() == requests
    assert counts.prompt_tokens.sum() == prompts.sum()
    assert counts.output_tokens.sum() == outputs.sum()
    assert counts.prompt_token_squares.sum() == pytest.approx((prompts**2).sum())
    steps = sum(output * (prompt + (output + 1) / 2) for prompt, output in zip(prompts, outputs, strict=True))
    assert counts.kv_token_steps.sum() == pytest.approx(steps)


def test_counts_do_not_depend_on_the_pieces() -> None:
    demand = demand_from("poisson:rate=20,minutes=5")
    small = replace(demand, piece_requests=100)
    once, pieces = count(demand), count(small)
    assert len(list(small.pieces())) > 10
    np.testing.assert_array_equal(once.requests, pieces.requests)
    np.testing.assert_array_equal(once.sample_prompts, pieces.sample_prompts)


def test_a_part_begins_at_its_own_second_zero() -> None:
    counts = count(trace(1, 500, 300.0))
    part = counts.part(4, 9)
    np.testing.assert_array_equal(part.requests, counts.requests[4:9])
    assert part.start_ns == counts.start_ns + 60 * 10**9


def test_saved_counts_are_read_back(tmp_path: Path) -> None:
    counts = count(trace(2, 100, 120.0))
    counts.save(tmp_path / "counts.npz")
    again = Counts.load(tmp_path / "counts.npz")
    assert (again.name, again.start_ns) == (counts.name, counts.start_ns)
    np.testing.assert_array_equal(again.kv_token_steps, counts.kv_token_steps)
    assert [path.name for path in tmp_path.iterdir()] == ["counts.npz"]


def test_a_demand_without_requests_is_refused() -> None:
    with pytest.raises(BadInput, match="must have 1 or more"):
        count(trace(1, 0, 60.0))


def test_thinning_brings_the_peak_to_what_was_asked_for() -> None:
    """60 req/s of the same mix need about 40 replicas; a fifth of them is kept for a peak of 8."""
    demand = demand_from("poisson:rate=60,minutes=30")
    before = peak_replicas(count(demand), PROFILE, TPOT)
    keep = keep_for_peak(demand, before / 5, PROFILE, TPOT)
    after = peak_replicas(count(kept(demand, keep, 1)), PROFILE, TPOT)
    assert keep == pytest.approx(0.2, rel=0.02)
    assert after == pytest.approx(before / 5, rel=0.1)


def test_a_target_below_an_empty_batchs_step_is_refused_with_the_remedy() -> None:
    with pytest.raises(BadInput, match=r"tpot_seconds: was 0.03, must be above 0.033.*faster GPU"):
        needed_replicas(count(trace(1, 10, 60.0)), PROFILE, 0.03)
