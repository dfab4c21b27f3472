"""Past demand as if it had been observed: equal to observing it, whatever is wrong with the samples."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.capacity.profile import PROFILES
from policies.combined import backfill as combined_backfill
from policies.combined.decide import combined_policy
from policies.combined.spec import CombinedSpec
from policies.policy import Running
from policies.predictive.backfill import Samples, Taken, begun, with_past
from policies.predictive.decide import learn, predictive_policy
from policies.predictive.load_history import BINS_PER_DAY, LoadHistory, bin_of
from policies.predictive.load_traits import TRAITS
from policies.predictive.observed_load import ObservedLoad, observe, traits_at
from policies.predictive.replica_capacity import sustained
from policies.predictive.spec import PredictiveSpec
from policies.predictive.state import PredictiveState
from policies.serving_counters import QUERIES
from policies.snapshot import NS_PER_SECOND, Pod, PodMetrics, PodSample, Snapshot

SPEC = PredictiveSpec(profile=PROFILES["llama-3.1-8b-fp8-l4"], tpot_seconds=0.075)
START = 1_800_000_000
PROMPT, OUTPUT = 1_000.0, 200.0


def samples(seconds: Any, rates: Any, prompt_tokens: Any = PROMPT, output_tokens: Any = OUTPUT) -> Samples:
    """seconds: after START."""
    at_ns = (START + np.asarray(seconds, np.int64)) * NS_PER_SECOND
    rate = np.asarray(rates, np.float64)
    return Samples(
        at_ns=at_ns,
        requests_per_second=rate,
        prompt_tokens=np.broadcast_to(np.asarray(prompt_tokens, np.float64), rate.shape),
        output_tokens=np.broadcast_to(np.asarray(output_tokens, np.float64), rate.shape),
    )


def sustained_rate() -> float:
    """Of one replica, with the sizes of `samples`."""
    state, _ = begun(SPEC, samples([0], [10.0]))
    assert state.last is not None
    rate = sustained(SPEC, state.last)
    assert rate is not None
    return rate


def one_by_one(seconds: list[int], rates: list[float]) -> ObservedLoad:
    seen = ObservedLoad()
    for second, rate in zip(seconds, rates, strict=True):
        seen = observe(seen, (START + second) * NS_PER_SECOND, rate / sustained_rate())
    return seen


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.one_of(st.integers(1, 30), st.integers(301, 4_000)), st.floats(0, 100)), min_size=1, max_size=60
    )
)
def test_samples_of_each_bin_are_as_if_they_had_been_observed(steps: list[tuple[int, float]]) -> None:
    seconds = np.cumsum([step for step, _ in steps]).tolist()
    rates = [10.0, *(rate for _, rate in steps[1:])]
    state, taken = begun(SPEC, samples(seconds, rates))
    expected = one_by_one(seconds, rates)
    assert state.load.open_bin == expected.open_bin
    assert state.load.history.first == (expected.history.first if len(expected.history) else expected.open_bin)
    np.testing.assert_allclose(state.load.history.loads(), expected.history.loads(), rtol=1e-6)
    assert state.load.level == pytest.approx(expected.level)
    for lead_seconds in (60.0, 600.0):
        traits, want = traits_at(state.load, lead_seconds), traits_at(expected, lead_seconds)
        assert traits is not None
        assert want is not None
        assert traits.tolist() == pytest.approx(want.tolist(), rel=1e-6)
    assert taken == Taken(used=len(steps), gaps=sum(step > 300 for step, _ in steps[1:]))


def test_a_recording_at_a_minute_leaves_no_bin_empty() -> None:
    state, _ = begun(SPEC, samples(range(0, 3_600, 60), [6.0] * 60))
    loads = state.load.history.loads()
    assert len(loads) == 59 * 2
    np.testing.assert_allclose(loads, 6.0 / sustained_rate(), rtol=1e-6)


def test_a_gap_is_unknown_and_no_idle_time() -> None:
    state, taken = begun(SPEC, samples([0, 60, 1_260, 1_320], [6.0] * 4))
    loads = state.load.history.loads()
    assert taken.gaps == 1
    assert np.isnan(loads[3:42]).all()
    assert not np.isnan(loads[[0, 1, 2, 42, 43]]).any()


nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("given_samples", "taken"),
    [
        pytest.param(samples([], []), Taken(), id="none-at-all"),
        pytest.param(samples([0, 60, 120, 180], [9, nan, inf, 1e18]), Taken(used=1, not_a_number=3), id="no-numbers"),
        pytest.param(samples([0, 60, 120], [9, -1, 9]), Taken(used=2, negative=1), id="negative"),
        pytest.param(samples([0, 60, 60, 30, 90], [9] * 5), Taken(used=3, not_newer=2), id="twice-and-unsorted"),
        pytest.param(samples([0, 60, 9_999], [9] * 3), Taken(used=2, not_newer=1), id="of-the-future"),
        pytest.param(samples([-1_300_000, 0], [9] * 2), Taken(used=1, too_old=1), id="older-than-14-days"),
        pytest.param(samples([0, 60], [9, 9], [nan, 1e3]), Taken(used=1, without_sizes=1), id="sizes-come-later"),
        pytest.param(samples([0, 60], [9, 9], [1e3, nan]), Taken(used=2), id="sizes-go-on"),
        pytest.param(samples([0, 60], [9, 9], [1e3, -5.0]), Taken(used=2), id="a-size-that-is-none-is-not-known"),
        pytest.param(samples([0, 60], [9, 9], 0.0), Taken(without_sizes=2), id="sizes-never-come"),
        pytest.param(samples([0], [9], 4e-261, 5e-324), Taken(without_sizes=1), id="sizes-at-the-end-of-a-float"),
    ],
)
def test_what_cannot_be_is_dropped_and_counted(given_samples: Samples, taken: Taken) -> None:
    state, counted = begun(SPEC, given_samples, until_ns=(START + 600) * NS_PER_SECOND)
    assert counted == taken
    assert counted.used + counted.dropped == len(given_samples.at_ns)
    assert (state.last is None) is (taken.used == 0)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(-30_000, 30_000), *[st.floats()] * 3), max_size=30),
    st.one_of(st.none(), st.integers(-30_000, 30_000)),
)
def test_no_sample_makes_it_raise(rows: list[tuple[int, float, float, float]], until: int | None) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    until_ns = None if until is None else (START + until) * NS_PER_SECOND
    state, taken = begun(SPEC, samples(*columns), until_ns)
    assert taken.used + taken.dropped == len(rows)
    loads = state.load.history.loads()
    assert (loads[~np.isnan(loads)] >= 0).all()


def test_idle_hours_are_load_zero_with_the_sizes_of_before() -> None:
    """A night without a request says that there was none; by morning the sizes still hold."""
    night = samples(range(0, 36_000, 60), [9.0] * 60 + [0.0] * 540, [PROMPT] * 60 + [nan] * 540)
    state, taken = begun(SPEC, night)
    assert taken.used == 600
    assert state.load.history.loads()[-1] == 0.0
    assert state.last is not None
    assert state.last.prompt_tokens == pytest.approx(PROMPT)


def scrape(second: int, served: float) -> Snapshot:
    values = (0.0, 0.0, served, served * PROMPT, served * OUTPUT)
    at_ns = (START + second) * NS_PER_SECOND
    return Snapshot(
        replicas=4,
        pods=(Pod(name="a", phase="Running", ready="True"),),
        observations={
            query: PodMetrics({"a": PodSample(value_milli=round(value * 1000), at_ns=at_ns)})
            for query, value in zip(QUERIES, values, strict=True)
        },
    )


def a_day() -> Samples:
    """Demand that swings once in a day around 5 requests/s, at a minute."""
    seconds = np.arange(0, 86_400, 60)
    return samples(seconds, 5.0 - 4.0 * np.sin(seconds / 86_400 * 2 * np.pi))


def test_a_controller_that_starts_anew_learns_and_decides_from_the_past() -> None:
    """Two scrapes after its start it decides as one that was never away: on the peaks that it has not seen itself."""
    past, _ = begun(SPEC, a_day())
    taught = learn(SPEC, past, (START + 86_400) * NS_PER_SECOND)
    assert taught.sizing is not None
    assert taught.sizing.days == pytest.approx(1.0, abs=0.01)
    policy = predictive_policy(SPEC)
    running = Running(policy, taught)
    for second in (86_400, 86_415):
        decision = running.step(scrape(second, 5.0 * (second - 86_000)), (START + second) * NS_PER_SECOND)
    assert "1.0 days of its own load" in decision.message
    traits = traits_at(running.state.load, 240.0)
    assert traits is not None
    assert traits[TRAITS.index("yesterday_ahead")] * sustained_rate() == pytest.approx(5.0, rel=0.05)
    assert traits[TRAITS.index("peak_24300s")] * sustained_rate() > 5.5, "9 requests/s six hours ago are not forgotten"


def test_a_past_that_comes_late_is_put_before_what_was_seen_meanwhile() -> None:
    running = Running.start(combined_policy(CombinedSpec(predictive=SPEC)))
    for second in range(86_400, 86_700, 15):
        running.step(scrape(second, 8.0 * (second - 86_000)), (START + second) * NS_PER_SECOND)
    live = running.state
    past, _ = combined_backfill.begun(CombinedSpec(predictive=SPEC), a_day())
    whole = combined_backfill.with_past(live, past)
    assert whole.scaling is live.scaling
    assert whole.predictive.last is live.predictive.last
    load = whole.predictive.load
    assert load.history.first == past.predictive.load.history.first
    assert load.history.end == live.predictive.load.history.end
    assert (load.open_bin, load.level) == (live.predictive.load.open_bin, live.predictive.load.level)
    np.testing.assert_array_equal(load.history.loads()[-8:], live.predictive.load.history.loads()[-8:])
    running.state = whole
    second = 86_700
    decision = running.step(scrape(second, 8.0 * (second - 86_000)), (START + second) * NS_PER_SECOND)
    assert decision.numbers["demand_requests_per_second"] == pytest.approx(8.0)
    assert decision.numbers["prompt_tokens"] == pytest.approx(PROMPT)


def test_a_past_before_the_first_scrape_is_kept_by_it() -> None:
    past, _ = begun(SPEC, samples(range(0, 3_600, 60), [6.0] * 60))
    state = with_past(PredictiveState(), past)
    assert (state.last, state.load.open_bin) == (past.last, past.load.open_bin)
    assert with_past(state, PredictiveState()) is state, "nothing was known"
    running = Running(predictive_policy(SPEC), state)
    for second in (3_600, 3_615):
        decision = running.step(scrape(second, 0.0), (START + second) * NS_PER_SECOND)
    assert decision.numbers["prompt_tokens"] == pytest.approx(PROMPT), "no request since, but sizes are known"


def test_a_history_of_bins_is_as_if_they_had_been_appended() -> None:
    loads = np.arange(2.5 * BINS_PER_DAY)
    appended = LoadHistory()
    for at, load in enumerate(loads.tolist(), start=7):
        appended = appended.append(at, load)
    made = LoadHistory.of(7, loads)
    assert (made.first, len(made.days), len(made.today)) == (7, 2, BINS_PER_DAY // 2)
    np.testing.assert_array_equal(made.loads(), appended.loads())
    longer = LoadHistory.of(7, np.zeros(20 * BINS_PER_DAY))
    assert (len(longer), longer.end) == (14 * BINS_PER_DAY, 7 + 20 * BINS_PER_DAY)


def test_two_weeks_at_a_minute_are_taken_whole() -> None:
    seconds = np.arange(0, 14 * 86_400, 60)
    state, taken = begun(SPEC, samples(seconds, 5.0 + np.sin(seconds / 13_000.0)))
    assert taken.used == len(seconds)
    assert state.load.open_bin == bin_of((START + int(seconds[-1])) * NS_PER_SECOND)
