"""What a pool's workloads need together ahead: fading peak, climbs, and why not the sum of each one's own."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import BadInput
from policies.nodepools.need_ahead import FADE_SECONDS, KEPT_STEPS, STEP_SECONDS, NeedHistory, need_ahead
from policies.snapshot import NS_PER_SECOND

START_NS = 1_800_000_000 * NS_PER_SECOND


def history_of(needs: Sequence[float | None]) -> NeedHistory:
    """One need a step."""
    history = NeedHistory()
    for step, need in enumerate(needs):
        history = history.seen(START_NS + step * STEP_SECONDS * NS_PER_SECOND, need)
    return history


@pytest.mark.parametrize(
    ("needs", "ahead"),
    [
        pytest.param([], None, id="nothing-seen-nothing-said"),
        pytest.param([None, None], None, id="unknown-is-not-zero"),
        pytest.param([8], 8.0, id="one-look-is-the-level"),
        pytest.param([8, 20], 20.0, id="up-at-once"),
        pytest.param([20, 8], 8 + 12 * math.exp(-STEP_SECONDS / FADE_SECONDS), id="down-by-fading"),
        pytest.param([20, None, 8], 8 + 12 * math.exp(-2 * STEP_SECONDS / FADE_SECONDS), id="a-gap-fades-as-well"),
        pytest.param(
            [20] + [8] * 100, 8 + 12 * math.exp(-100 * STEP_SECONDS / FADE_SECONDS), id="in-the-end-the-level"
        ),
    ],
)
def test_while_the_history_is_short_the_fading_peak_is_what_is_ahead(
    needs: Sequence[float | None], ahead: float | None
) -> None:
    said = need_ahead(history_of(needs), 300.0, 0.95)
    assert said == (ahead if ahead is None else pytest.approx(ahead, rel=1e-5))


def test_a_climb_that_comes_again_and_again_is_provided_for() -> None:
    """Every 30 min 10 GPUs become 30 for 10 min; 5 min before the next time, 30 are ahead."""
    cycle = [10.0] * 40 + [30.0] * 20
    history = history_of(cycle * 8 + cycle[:35])
    assert need_ahead(history, 300.0, 0.95) == pytest.approx(30.0, rel=0.25)
    assert need_ahead(history, 30.0, 0.5) == pytest.approx(10.0, rel=0.35), "half of the moments see none"


def test_looks_within_a_step_count_by_the_largest() -> None:
    at = [(0, 5.0), (10, 9.0), (20, 7.0), (30, 6.0)]
    history = NeedHistory()
    for second, need in at:
        history = history.seen(START_NS + second * NS_PER_SECOND, need)
    assert history.needs.tolist() == [9.0, 6.0]
    assert history.seen(START_NS, 99.0) is history, "what is older than the last step changes nothing"


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 1e4)), max_size=40), st.floats(30.0, 900.0), st.floats(0.5, 0.999))
@settings(max_examples=50)
def test_never_less_than_now_and_never_an_error(needs: list[float | None], horizon: float, quantile: float) -> None:
    said = need_ahead(history_of(needs), horizon, quantile)
    known = [need for need in needs if need is not None]
    assert said is None if not known else said is not None and said >= known[-1] * (1 - 1e-6) - 1e-30  # float32


@pytest.mark.parametrize("need", [math.nan, math.inf, -1.0])
def test_what_cannot_be_a_need_is_not_kept(need: float) -> None:
    assert history_of([5.0, need]).needs.tolist() == [5.0]


def test_a_day_is_kept_and_a_longer_gap_begins_anew() -> None:
    history = history_of([1.0] * (KEPT_STEPS + 10))
    assert len(history.needs) == len(history.peaks) == KEPT_STEPS
    later = START_NS + 3 * 86_400 * NS_PER_SECOND
    assert history.seen(later, 2.0).needs.tolist() == [2.0]


def bursts(seed: int, steps: int) -> np.ndarray:
    """A service of 8 replicas that climbs by 4 to 16 for about 10 min, once in about 40 min."""
    rng = np.random.default_rng(seed)
    needs = np.full(steps, 8.0)
    at = rng.exponential(80)
    while at < steps:
        first, length = int(at), 4 + int(rng.exponential(20))
        needs[first : first + length] += round(rng.uniform(4, 16))
        at += rng.exponential(80)
    return needs


@pytest.mark.parametrize("workloads", [2, 4, 8])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sum_needs_less_headroom_than_the_sum_of_each_ones_own(workloads: int, seed: int) -> None:
    """A day to learn from, six hours to judge: at the quantile that was asked, and cheaper; docs/nodepools.md."""
    learn, steps, horizon = 2_880, 3_600, 10
    needs = np.array([bursts(100 * seed + each, steps) for each in range(workloads)])
    together, apart, reached = [], [], []
    histories = [history_of(each[:learn]) for each in needs]
    total = history_of(needs.sum(axis=0)[:learn])
    for step in range(learn, steps - horizon):
        at_ns = START_NS + step * STEP_SECONDS * NS_PER_SECOND
        histories = [history.seen(at_ns, float(each[step])) for history, each in zip(histories, needs, strict=True)]
        total = total.seen(at_ns, float(needs[:, step].sum()))
        if step % 6 == 0:
            apart.append(sum(need_ahead(history, 300.0, 0.95) or 0.0 for history in histories))
            together.append(need_ahead(total, 300.0, 0.95) or 0.0)
            reached.append(needs[:, step + 1 : step + 1 + horizon].sum(axis=0).max() <= together[-1] + 1e-3)
    level = needs.sum(axis=0)[learn:].mean()
    assert np.mean(reached) == pytest.approx(0.95, abs=0.06)
    assert np.mean(together) - level < 0.85 * (np.mean(apart) - level)


@pytest.mark.parametrize("quantile", [0.0, 0.4, 1.0, math.nan])
def test_bad_input(quantile: float) -> None:
    with pytest.raises(BadInput, match=r"quantile: was .*, must be in \[0.5, 0.999\]; 0.95 lets"):
        need_ahead(NeedHistory(), 300.0, quantile)
