"""The predictive HPA against its own tests and code: both forecasts, what they see, and how they enter the decision.

Upstream: jthomperoo/predictive-horizontal-pod-autoscaler algorithms/linear_regression/test_linear_regression.py
(commit 04adb9ef), algorithms/holt_winters/test_holt_winters.py (commit ed179aea), internal/controllers/controller.go
(commit f3c216e8), internal/scalebehavior/scalebehavior.go (commit 46a8d4a5), internal/prediction.
"""

import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.baselines.phpa import DEMAND, ENTRIES, PhpaState, choose, decide, holt_winters_policy, linear_policy
from policies.baselines.phpa_history import ModelState, next_interval, process_model
from policies.baselines.phpa_models import (
    ModelFailed,
    Observed,
    enough_for_holt_winters,
    holt_winters_forecast,
    linear_forecast,
    newest,
    whole_seasons,
)
from policies.baselines.phpa_spec import HoltWintersSpec, LinearSpec
from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, Pod, Snapshot

pytest.importorskip("statsmodels", reason="the extra `rivals` is not installed")


def history_of(counts, seconds=15):
    return tuple(Observed(index * seconds * NS_PER_SECOND, count) for index, count in enumerate(counts))


def seen(requests, replicas):
    answer = MetricError("connection refused") if requests is None else ExternalMetric((round(1000 * requests),))
    pods = tuple(Pod(name=f"pod-{index}", phase="Running", ready="True") for index in range(replicas))
    return Snapshot(replicas=replicas, pods=pods, observations={DEMAND: answer})


def run(policy, rows, replicas):
    """Rows of (second, requests, expected desired); the fleet follows. Returns the decisions."""
    state, decisions = policy.initial_state, []
    for second, requests, expected in rows:
        decision, state = decide(policy.spec, state, seen(requests, replicas), second * NS_PER_SECOND)
        replicas = decision.desired_replicas
        assert replicas == expected, f"at {second} s: {decision.message}"
        decisions.append(decision)
    return decisions


@pytest.mark.parametrize(
    ("look_ahead_seconds", "expected"),
    [
        pytest.param(0, 5, id="Successful prediction, now"),
        pytest.param(10, 6, id="Successful prediction, 10 seconds in the future"),
        pytest.param(15, 7, id="Successful prediction, 15 seconds in the future"),
    ],
)
def test_linear_forecast(look_ahead_seconds, expected):
    """test_linear_regression.py: 1, 2, 3, 4 replicas 10 s apart, asked 9 s after the last: 4.9, 5.9, 6.4 rounded up."""
    assert linear_forecast(history_of([1, 2, 3, 4], seconds=10), (39 + look_ahead_seconds) * NS_PER_SECOND) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param([3], 3, id="one-count-stays-as-it-is"),
        pytest.param([3, 3, 3, 3, 3, 3], 3, id="a-steady-count-gains-nothing-by-rounding"),
        pytest.param([9, 7, 5, 3], -17, id="a-fall-goes-below-zero"),
    ],
)
def test_linear_forecast_at_the_edges(counts, expected):
    """internal/prediction/linear/linear.go, GetPrediction; 150 s ahead of the last count."""
    at_ns = (15 * (len(counts) - 1) + 150) * NS_PER_SECOND
    assert linear_forecast(history_of(counts), at_ns) == expected


def test_a_line_through_one_instant_fails():
    """statsmodels refuses a regressor without spread; the model is then left out of the sync."""
    with pytest.raises(ModelFailed):
        linear_forecast((Observed(5, 1), Observed(5, 2)), 10)


HOLT_WINTERS = {"seasonal_periods": 3, "damped_trend": False}


@pytest.mark.parametrize(
    ("counts", "parameters", "expected"),
    [
        pytest.param(
            [1, 3, 1, 1, 3, 1, 1, 3, 1, 1, 3, 1, 1],
            {"alpha": 0.9, "beta": 0.9, "gamma": 0.3, "trend": "add", "seasonal": "add"},
            3,
            id="additive, 13 observations",
        ),
        pytest.param(
            [1, 3, 1, 1, 3, 1, 1, 3, 1, 1, 3, 1, 1, 3, 1],
            {"alpha": 0.3, "beta": 0.3, "gamma": 0.9, "trend": "mul", "seasonal": "add"},
            1,
            id="multiplicative trend, 15 observations",
        ),
        pytest.param(
            [1, 1, 1, 1, 2, 1, 1, 3, 1, 1, 4, 1, 1, 5, 1, 1, 6, 1, 1],
            {"alpha": 0.005, "beta": 0.9, "gamma": 0.4, "trend": "add", "seasonal": "mul"},
            6,
            id="additive trend + multiplicative seasonal, 19 observations",
        ),
        pytest.param(
            [4] * 12,
            {"alpha": 0.9, "beta": 0.9, "gamma": 0.9, "trend": "add", "seasonal": "add"},
            4,
            id="a-steady-count-stays",
        ),
    ],
)
def test_holt_winters_forecast(counts, parameters, expected):
    """test_holt_winters.py, the three successful predictions by name, and a constant.

    Upstream's key `initialization_method` in the third is not one that its parser knows: it runs with "estimated".
    """
    assert holt_winters_forecast(history_of(counts), **HOLT_WINTERS, **parameters) == expected


def test_holt_winters_fails_on_a_zero_where_it_multiplies():
    """statsmodels: endog must be strictly positive with multiplicative components."""
    with pytest.raises(ModelFailed):
        holt_winters_forecast(
            history_of([0, 3, 1] * 5), **HOLT_WINTERS, alpha=0.9, beta=0.9, gamma=0.3, trend="add", seasonal="mul"
        )


@pytest.mark.parametrize(
    ("count", "periods", "enough"),
    [
        pytest.param(9, 3, False, id="Failure, 9 observations"),
        pytest.param(11, 3, False, id="one-short-of-12"),
        pytest.param(12, 3, True, id="10-and-twice-half-a-season"),
        pytest.param(39, 20, False, id="one-short-of-two-seasons"),
        pytest.param(40, 20, True, id="two-seasons"),
    ],
)
def test_holt_winters_needs_a_start(count, periods, enough):
    """holtwinters.go, GetPrediction: at least 2 P and at least 10 + 2 (P // 2) counts, else a forecast of 0."""
    assert enough_for_holt_winters(history_of([1] * count), periods) is enough


def test_holt_winters_has_no_lead_time():
    """The forecast is one sync ahead: a peak that comes every season is asked for 15 s before, not a pod's start.

    Seasons of 12 syncs (3 min) with a peak of 8 replicas for one sync: in the sync just before it the forecast is 8,
    two syncs before it is still 2.
    """
    season = [2] * 11 + [8]
    spec = HoltWintersSpec(alpha=0.1, beta=0.1, gamma=0.1, seasonal_periods=12)
    before = history_of(season * 3 + [2] * 10)
    forecast, model = process_model(spec, ModelState(history=before), 2, 46 * 15 * NS_PER_SECOND)
    assert forecast.replicas == 8
    forecast, _ = process_model(spec, ModelState(history=before[:-1]), 2, 45 * 15 * NS_PER_SECOND)
    assert forecast.replicas == 2
    assert len(model.history) == 47


@pytest.mark.parametrize(
    ("count", "kept"),
    [
        pytest.param(6, 6, id="two-seasons-are-stored"),
        pytest.param(8, 8, id="a-new-one-builds-up-in-full"),
        pytest.param(9, 6, id="before-the-oldest-goes"),
        pytest.param(13, 7, id="and-more-than-one-if-need-be"),
    ],
)
def test_holt_winters_history(count, kept):
    """holtwinters.go, PruneHistory and its comment: seasons of 3, 2 stored; oldest go, the order stays."""
    counts = list(range(count))
    assert [each.replicas for each in whole_seasons(history_of(counts), 3, 2)] == counts[count - kept :]


def test_linear_history():
    """linear.go, PruneHistory: only the newest historySize counts."""
    assert [each.replicas for each in newest(history_of([1, 2, 3, 4]), 3)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("decision_type", "forecast", "expected"),
    [
        pytest.param("maximum", 7, 7, id="maximum"),
        pytest.param("maximum", 0, 4, id="the-0-of-too-few-counts-is-harmless-under-maximum"),
        pytest.param("minimum", 7, 4, id="minimum"),
        pytest.param("minimum", 0, 0, id="but-not-under-minimum"),
        pytest.param("mean", 7, 6, id="a-mean-of-5.5-rounds-up"),
        pytest.param("median", 7, 5, id="a-median-of-5.5-is-cut"),
        pytest.param("mean", None, 4, id="a-failed-model-is-left-out"),
        pytest.param("mean", -9, 0, id="a-mean-below-0-is-0"),
    ],
)
def test_choice(decision_type, forecast, expected):
    """scalebehavior.go, DecideTargetReplicasByScalingStrategy, of 4 from the HPA and the forecast."""
    assert choose(decision_type, 4, forecast) == expected


LINEAR = LinearSpec(look_ahead_milliseconds=30_000)


@pytest.mark.parametrize(
    ("spec", "rows", "replicas"),
    [
        pytest.param(
            LINEAR,
            [(0, 32, 2), (15, 48, 5), (30, 64, 6), (45, 80, 6), (60, 80, 6), (75, 80, 7)],
            2,
            id="a-rise-is-run-ahead-of-and-limited-to-4-pods-a-minute",
        ),
        pytest.param(LINEAR, [(0, 160, 6), (15, 160, 6), (45, 160, 6), (60, 160, 10)], 2, id="rates-are-per-minute"),
        pytest.param(LINEAR, [(0, 16, 1), (15, 16, 1)], 8, id="the-first-sync-may-drop-at-once"),
        pytest.param(
            LINEAR,
            [(0, 128, 8), (15, 16, 8), *((second, 16, 8) for second in range(30, 300, 15)), (300, 16, 1)],
            8,
            id="later-the-highest-of-300-s-holds",
        ),
        pytest.param(LINEAR, [(0, 64, 4), (15, None, 4), (30, 64, 4)], 4, id="without-the-metric-nothing-happens"),
        pytest.param(
            replace(LINEAR, decision_type="minimum", scale_down_window_seconds=0),
            [(0, 160, 10), (15, 128, 4), (30, 96, 2)],
            10,
            id="under-minimum-a-falling-line-takes-more-than-the-demand-allows",
        ),
        pytest.param(replace(LINEAR, max_replicas=4), [(0, 160, 4), (15, 160, 4)], 9, id="bounds-hold-at-once"),
    ],
)
def test_linear_timeline(spec, rows, replicas):
    """controller.go and scalebehavior.go by hand: 16 requests a replica, 30 s ahead, +100 % or +4 a minute.

    Row 1 at 15 s: 3 now, the line through 2 and 3 says 5; at 30 s 2, 3, 4 say 6, which is also the limit of 2 + 4.
    """
    run(linear_policy(spec), rows, replicas)


def test_the_message_names_both_counts():
    """One sentence with the numbers."""
    decisions = run(linear_policy(LINEAR), [(0, 32, 2), (15, 48, 5)], 2)
    assert decisions[-1].message == (
        "2 -> 5 replicas: 48 requests, 16 a replica: 3 now, the line forecasts 5, maximum is 5"
    )


def test_holt_winters_timeline():
    """holtwinters.go: nothing for 11 syncs of a season of 3, then the season's peak one sync early, held for 300 s."""
    spec = HoltWintersSpec(gamma=0.3, seasonal_periods=3, scale_down_window_seconds=0)
    demand = [16, 48, 16]
    rows = [(15 * sync, demand[sync % 3], 3 if sync % 3 == 1 else 1) for sync in range(11)]
    rows += [(165, 16, 1), (180, 16, 3), (195, 48, 3), (210, 16, 1)]
    decisions = run(holt_winters_policy(spec), rows, 1)
    assert "Holt-Winters forecasts 0 (11 syncs are too few)" in decisions[10].message
    assert "1 now, Holt-Winters forecasts 3, maximum is 3" in decisions[12].message


@pytest.mark.parametrize(
    ("changes", "seconds", "remembered", "forecasts"),
    [
        pytest.param({"per_sync_period": 2}, [0, 15, 30, 45], 4, [False, True, False, True], id="every-other-sync"),
        pytest.param(
            {"start_interval_seconds": 60}, [10, 25, 61, 75], 2, [False, False, True, True], id="from-a-full-minute-on"
        ),
        pytest.param({"reset_duration_seconds": 60}, [0, 15, 90, 105], 2, [True] * 4, id="stale-history-is-dropped"),
        pytest.param(
            {"start_interval_seconds": 60, "reset_duration_seconds": 60},
            [0, 60, 75, 300, 315],
            1,
            [False, True, True, False, True],
            id="and-begins-at-the-next-interval-again",
        ),
    ],
)
def test_when_the_model_runs(changes, seconds, remembered, forecasts):
    """controller.go, processModels: perSyncPeriod, startInterval, resetDuration.

    A model whose start is a multiple of the interval away has no count of its own before that; the sync at 300 s of
    the last row is such a multiple itself, and still only sets the start.
    """
    spec, state, ran = replace(LINEAR, **changes), ModelState(), []
    for second in seconds:
        forecast, state = process_model(spec, state, 2, second * NS_PER_SECOND)
        ran.append(forecast.replicas is not None)
    assert (ran, len(state.history)) == (forecasts, remembered)


def test_a_failed_model_forgets_the_sync():
    """controller.go, processModels: after an error the loop goes on before the history is written back."""
    spec = HoltWintersSpec(seasonal_periods=3, seasonal="mul")
    state = ModelState(history=history_of([1, 3, 1] * 4))
    forecast, after = process_model(spec, state, 0, 12 * 15 * NS_PER_SECOND)
    assert (forecast.replicas, after) == (None, state)
    assert forecast.note.startswith("no forecast: ")


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param(0, 0, id="now-is-one"),
        pytest.param(1, 60, id="just-after"),
        pytest.param(31, 60, id="over-half"),
        pytest.param(60, 60, id="the-next"),
    ],
)
def test_next_interval(second, expected):
    """controller.go, nextInterval: Round, and one interval more where that has passed."""
    assert next_interval(second * NS_PER_SECOND, 60) == expected * NS_PER_SECOND


def test_a_missing_statsmodels_is_said_with_its_remedy(monkeypatch):
    """The extra is asked for when the policy is made, not in the middle of a run."""
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.holtwinters", None)
    with pytest.raises(BadInput, match=r"pip install leadtime\[rivals\]"):
        holt_winters_policy(HoltWintersSpec())


@pytest.mark.parametrize(
    ("build", "spec", "message"),
    [
        pytest.param(linear_policy, LinearSpec(history_size=0), "historySize", id="no-history"),
        pytest.param(linear_policy, LinearSpec(look_ahead_milliseconds=-1), "lookAhead", id="a-look-back"),
        pytest.param(linear_policy, LinearSpec(min_replicas=0), "minReplicas", id="a-minimum-of-0"),
        pytest.param(linear_policy, LinearSpec(start_interval_seconds=0), "startInterval", id="an-interval-of-0"),
        pytest.param(linear_policy, LinearSpec(scale_down_window_seconds=9999), "3600", id="a-window-over-an-hour"),
        pytest.param(holt_winters_policy, HoltWintersSpec(alpha=1.5), "alpha", id="alpha-above-1"),
        pytest.param(holt_winters_policy, HoltWintersSpec(seasonal_periods=1), "seasonalPeriods", id="no-season"),
    ],
)
def test_nonsense_is_refused(build, spec, message):
    """internal/validation/validation.go and statsmodels' own limits."""
    with pytest.raises(BadInput, match=message):
        build(spec)


def test_entries_build_policies_on_the_total_demand():
    """Both models sync every 15 s and ask for one External series."""
    assert [entry.name for entry in ENTRIES] == ["phpa-linear", "phpa-holt-winters"]
    for entry in ENTRIES:
        policy = entry.build(entry.spec())
        assert (policy.period_seconds, policy.queries, policy.initial_state) == (15, (DEMAND,), PhpaState())


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from([LinearSpec(look_ahead_milliseconds=240_000), HoltWintersSpec(seasonal_periods=3)]),
    decision_type=st.sampled_from(["maximum", "minimum", "mean", "median"]),
    low=st.integers(1, 4),
    span=st.integers(0, 20),
    replicas=st.integers(0, 30),
    rows=st.lists(st.none() | st.floats(0, 1000), min_size=1, max_size=18),
)
def test_bounds_hold_and_a_replay_is_equal_whatever_the_order_of_pods(kind, decision_type, low, span, replicas, rows):
    """From the first known metric on the scale is within its bounds."""
    spec = replace(kind, decision_type=decision_type, min_replicas=low, max_replicas=low + span)

    def decisions(backwards):
        state, current, made = PhpaState(), replicas, []
        for sync, requests in enumerate(rows):
            snapshot = seen(requests, current)
            snapshot = replace(snapshot, pods=snapshot.pods[::-1]) if backwards else snapshot
            decision, state = decide(spec, state, snapshot, sync * 15 * NS_PER_SECOND)
            assert requests is None or low <= decision.desired_replicas <= low + span
            current = decision.desired_replicas
            made.append((decision, state))
        return made

    made = decisions(backwards=False)
    assert decisions(backwards=False) == made == decisions(backwards=True)
