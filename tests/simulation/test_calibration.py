"""Fitting and validation: the formula against the simulator, a known truth found again, and the targets held."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.gpus import GPUS
from policies.capacity.measured import CORRECTIONS, EFFICIENCY, HELD_OUT
from policies.capacity.models import MODELS
from policies.capacity.profile import PROFILES, physical_profile
from policies.capacity.step_time import PRIOR, Correction
from policies.errors import BadInput
from simulations.calibration.fitting import METRICS, Fit, fit_runs, why_not_fitted
from simulations.calibration.measured_csv import read_measured_runs
from simulations.calibration.measured_run import MeasuredRun, simulate_run
from simulations.calibration.steady_state import steady_state
from simulations.calibration.validation import (
    Judged,
    by_pair,
    given_profile,
    held_out,
    judge,
    leave_one_experiment_out,
    listed_profile,
    median_errors,
)

RUNS = read_measured_runs(Path(__file__).parents[2] / "simulations" / "data" / "measured_vllm.csv")
TARGETS = {"itl_seconds": 0.07, "e2e_seconds": 0.07, "ttft_seconds": 0.18}

RUN = MeasuredRun(
    line=2,
    experiment="1",
    model="llama-3.1-8b",
    gpu="H100",
    tensor_parallel_size=1,
    input_tokens=600,
    output_tokens=250,
    requests_per_second=8,
)


@pytest.fixture(scope="module")
def held_out_rows() -> list[Judged]:
    """Leave-one-experiment-out over the shipped runs, once for all tests."""
    return list(leave_one_experiment_out(RUNS))


@pytest.mark.parametrize("name", ["llama-3.1-8b-h100", "llama-3.1-8b-l40s", "llama-3.1-70b-h100-tp4"])
@pytest.mark.parametrize("cached", [0, 300, 600])
def test_the_closed_form_is_what_the_simulator_converges_to(name: str, cached: int) -> None:
    """At 30 % of the server's time: ITL and E2E within 3 %, TTFT within 6 %."""
    profile = PROFILES[name]
    alone = steady_state(profile, replace(RUN, requests_per_second=1e-9, cached_tokens=cached))
    rate = 0.0
    for tenth in range(1, 400):
        rate = tenth / 10
        if steady_state(profile, replace(RUN, requests_per_second=rate, cached_tokens=cached)).itl_seconds > (
            alone.itl_seconds / 0.7
        ):
            break
    run = replace(RUN, requests_per_second=rate, cached_tokens=cached)
    formula, simulated = steady_state(profile, run), simulate_run(profile, run, seed=1)
    assert formula.itl_seconds == pytest.approx(simulated.itl_seconds, rel=0.03)
    assert formula.e2e_seconds == pytest.approx(simulated.e2e_seconds, rel=0.03)
    assert formula.ttft_seconds == pytest.approx(simulated.ttft_seconds, rel=0.06)


@given(
    name=st.sampled_from(sorted(PROFILES)),
    rate=st.floats(0.01, 50),
    more=st.floats(1.0, 3.0),
    cached=st.integers(0, 600),
)
def test_more_load_is_never_faster_and_more_cache_never_slower(
    name: str, rate: float, more: float, cached: int
) -> None:
    run = replace(RUN, requests_per_second=rate, cached_tokens=cached)
    here = steady_state(PROFILES[name], run)
    busier = steady_state(PROFILES[name], replace(run, requests_per_second=rate * more))
    colder = steady_state(PROFILES[name], replace(run, cached_tokens=0))
    for metric in METRICS:
        assert getattr(here, metric) <= getattr(busier, metric) * (1 + 1e-12)
        assert getattr(here, metric) <= getattr(colder, metric) * (1 + 1e-12)
    assert 0 < here.itl_seconds <= here.ttft_seconds <= here.e2e_seconds


def test_a_known_truth_is_found_again() -> None:
    """12 runs simulated from a known server: a fit that began at PRIOR predicts each within 1.5 %."""
    truth = Fit(
        efficiency=replace(PRIOR, weight_bandwidth=0.78, kv_bandwidth=0.65, layer_seconds=50e-6, api_seconds=6e-3),
        corrections={("llama-3.1-8b", "h100", 1): Correction(base=1.04, growth=0.9)},
    )
    runs = []
    for model, gpu, ranks, rates in (
        ("llama-3.1-8b", "h100", 1, (4, 12, 20)),
        ("llama-3.1-8b", "l40s", 1, (1, 3, 5)),
        ("qwen2.5-7b", "a100", 1, (2, 6, 10)),
        ("llama-3.1-70b", "h100", 4, (2, 5, 8)),
    ):
        profile = truth.profile(MODELS[model], GPUS[gpu], ranks)
        for rate in rates:
            run = replace(RUN, model=model, gpu=gpu, tensor_parallel_size=ranks, requests_per_second=rate)
            runs.append(replace(run, **{metric: getattr(simulate_run(profile, run, 7), metric) for metric in METRICS}))
    fit = fit_runs(runs)
    errors = [
        abs(row.error(metric) or 0.0)
        for row in judge(
            runs, lambda run: fit.profile(MODELS[run.model], GPUS[run.gpu.lower()], run.tensor_parallel_size)
        )
        for metric in ("itl_seconds", "e2e_seconds")
    ]
    assert len(errors) == 24
    assert max(errors) < 0.015


def test_a_pair_that_was_not_measured_gets_the_shared_efficiencies_alone() -> None:
    fit = fit_runs(RUNS[:2])
    unmeasured = fit.profile(MODELS["gemma-7b"], GPUS["h100"], 1)
    expected = physical_profile(MODELS["gemma-7b"], GPUS["h100"], 1, efficiency=fit.efficiency, correction=Correction())
    assert unmeasured == expected


def test_the_targets_hold_with_every_experiment_judged_by_the_others(held_out_rows: list[Judged]) -> None:
    """Median error at most 7 % in ITL, 7 % in E2E, 18 % in TTFT over the 18 runs whose rate is known."""
    medians = median_errors(held_out_rows)
    assert sum(row.simulated is not None for row in held_out_rows) == 18
    assert {metric: medians[metric] <= TARGETS[metric] for metric in METRICS} == dict.fromkeys(METRICS, True), medians


def test_every_row_is_there_and_the_one_without_a_rate_says_so(held_out_rows: list[Judged]) -> None:
    assert sorted(row.run.line for row in held_out_rows) == list(range(2, 21))
    (left,) = [row for row in held_out_rows if row.simulated is None]
    assert (left.run.line, left.reason) == (9, "no rate: neither qps nor throughput_tok_s")


def test_what_the_profiles_say_of_their_validation_is_what_validate_prints(held_out_rows: list[Judged]) -> None:
    """policies/capacity/measured.py quotes these figures; half a percent of room for another machine's rounding."""
    for pair, rows in by_pair(held_out_rows).items():
        assert asdict(held_out(rows)) == pytest.approx(asdict(HELD_OUT[pair]), abs=0.5), pair
    assert set(by_pair(held_out_rows)) == set(HELD_OUT)


def test_the_built_in_efficiencies_are_what_a_fit_of_the_shipped_runs_gives() -> None:
    fit = fit_runs(RUNS)
    assert asdict(fit.efficiency) == pytest.approx(asdict(EFFICIENCY), rel=0.01)
    assert set(fit.corrections) == set(CORRECTIONS)
    for pair, correction in fit.corrections.items():
        assert asdict(correction) == pytest.approx(asdict(CORRECTIONS[pair]), abs=0.01), pair


def test_a_fit_is_the_same_every_time() -> None:
    assert fit_runs(RUNS[:5]) == fit_runs(RUNS[:5])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"model": "mistral-7b"}, "model mistral-7b is not in", id="unknown-model"),
        pytest.param({"gpu": "B200"}, "GPU B200 is not in", id="unknown-gpu"),
        pytest.param({"requests_per_second": None}, "no rate", id="no-rate"),
        pytest.param({"gpu": "T4"}, "no profile: llama-3.1-8b does not fit 1 x NVIDIA-T4", id="does-not-fit"),
        pytest.param({"gpu": "L4", "input_tokens": 30_000}, "exceeds the KV cache", id="a-request-that-does-not-fit"),
    ],
)
def test_a_row_that_cannot_be_judged_says_why(changes: dict[str, object], reason: str) -> None:
    (row,) = judge([replace(RUN, **changes)], listed_profile)
    assert row.simulated is None
    assert reason in (row.reason or "")
    assert row.error("itl_seconds") is None


def test_a_pair_without_a_given_profile_says_so() -> None:
    (row,) = judge([RUN], given_profile([PROFILES["llama-3.1-8b-l4"]]))
    assert row.reason == "no profile given for llama-3.1-8b on 1 x H100"


def test_nothing_to_fit_is_refused() -> None:
    assert why_not_fitted(RUN) == "no figure: neither tpot_ms nor e2e_ms nor ttft_ms"
    with pytest.raises(BadInput, match="no measured run can be fitted; line 2: no figure"):
        fit_runs([RUN])
    with pytest.raises(BadInput, match="needs runs of two experiments or more that can be fitted, found 1"):
        list(leave_one_experiment_out(RUNS[:2]))
