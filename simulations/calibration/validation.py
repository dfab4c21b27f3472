"""Measured runs against simulated ones: the error of every row, and the medians."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policies.capacity.gpus import gpu_of
from policies.capacity.measured import HeldOut, Pair
from policies.capacity.models import model_of
from policies.capacity.profile import Profile, profile_name, profile_named
from policies.errors import BadInput
from simulations.calibration.fitting import METRICS, Fit, fit_runs, why_not_fitted
from simulations.calibration.measured_run import MeasuredRun, SimulatedRun, simulate_run

TITLES = {"itl_seconds": "ITL", "e2e_seconds": "E2E", "ttft_seconds": "TTFT"}

ProfileFor = Callable[[MeasuredRun], Profile | str]
"""The profile with which a run is simulated, or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One measured run and its simulation; `reason` says why there is none."""

    run: MeasuredRun
    profile: str | None = None
    simulated: SimulatedRun | None = None
    reason: str | None = None

    def error(self, metric: str) -> float | None:
        """(simulated - measured) / measured; None where either is missing."""
        measured = getattr(self.run, metric)
        if measured is None or self.simulated is None:
            return None
        return float(getattr(self.simulated, metric)) / float(measured) - 1.0


def judge(runs: Sequence[MeasuredRun], profile_for: ProfileFor, *, seed: int = 1) -> Iterator[Judged]:
    """Each run beside its simulation, in order; none is left out."""
    for run in runs:
        yield _judged(run, profile_for(run), seed)


def leave_one_experiment_out(runs: Sequence[MeasuredRun], *, seed: int = 1) -> Iterator[Judged]:
    """Each run beside its simulation with a profile fitted to all *other* experiments, experiment by experiment.

    BadInput when there are not two experiments that can be fitted.
    """
    fitted = [run for run in runs if why_not_fitted(run) is None]
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    usable = {run.experiment for run in fitted}
    if len(usable) < 2:
        raise BadInput(
            f"leave-one-experiment-out: needs runs of two experiments or more that can be fitted, found {len(usable)}; "
            "name them in the column experiment, or in notes as `exp N`"
        )
    for experiment in experiments:
        fit: Fit | None = None
        for run in runs:
            if run.experiment != experiment:
                continue
            reason = why_not_fitted(run)
            if reason is not None:
                yield Judged(run=run, reason=reason)
                continue
            fit = fit or fit_runs([other for other in fitted if other.experiment != experiment], seed=seed)
            yield _judged(run, fitted_profile(fit, run), seed)


def listed_profile(run: MeasuredRun) -> Profile | str:
    """The built-in profile of the run's model, GPU and tensor parallel size."""
    model, gpu = model_of(run.model), gpu_of(run.gpu)
    if model is None or gpu is None:
        return f"no profile: {why_not_fitted(run)}"
    return _unless_it_does_not_fit(
        lambda: profile_named(profile_name(model.name, gpu.short_name, run.tensor_parallel_size))
    )


def given_profile(profiles: Sequence[Profile]) -> ProfileFor:
    """Of the given profiles, the one of the run's model, GPU and tensor parallel size."""
    by_pair = {_pair_of(profile.model, profile.gpu, profile.tensor_parallel_size): profile for profile in profiles}

    def profile_for(run: MeasuredRun) -> Profile | str:
        profile = by_pair.get(_pair_of(run.model, run.gpu, run.tensor_parallel_size))
        return profile or f"no profile given for {run.model} on {run.tensor_parallel_size} x {run.gpu}"

    return profile_for


def fitted_profile(fit: Fit, run: MeasuredRun) -> Profile | str:
    """The profile that a fit gives the run's pair."""
    model, gpu = model_of(run.model), gpu_of(run.gpu)
    if model is None or gpu is None:
        return f"no profile: {why_not_fitted(run)}"
    return _unless_it_does_not_fit(lambda: fit.profile(model, gpu, run.tensor_parallel_size))


def median_errors(judged: Sequence[Judged]) -> dict[str, float]:
    """Median absolute error of each metric, as a share; NaN where no row has it."""
    medians = {}
    for metric in METRICS:
        errors = [abs(error) for row in judged if (error := row.error(metric)) is not None]
        medians[metric] = float(np.median(errors)) if errors else float("nan")
    return medians


def held_out(judged: Sequence[Judged]) -> HeldOut:
    """What a profile says of its own validation, from its pair's rows of leave-one-experiment-out."""
    rows = [row for row in judged if row.simulated is not None]
    itl, e2e, ttft = (100 * median_errors(rows)[metric] for metric in METRICS)
    return HeldOut(itl_percent=itl, e2e_percent=e2e, ttft_percent=ttft, runs=len(rows))


def by_pair(judged: Sequence[Judged]) -> Mapping[Pair, list[Judged]]:
    """The rows that were judged, by the short names of model and GPU, and tensor parallel size."""
    pairs: dict[Pair, list[Judged]] = {}
    for row in judged:
        model, gpu = model_of(row.run.model), gpu_of(row.run.gpu)
        if row.simulated is not None and model is not None and gpu is not None:
            pairs.setdefault((model.name, gpu.short_name, row.run.tensor_parallel_size), []).append(row)
    return pairs


def _judged(run: MeasuredRun, profile: Profile | str, seed: int) -> Judged:
    if isinstance(profile, str):
        return Judged(run=run, reason=profile)
    if run.requests_per_second is None:
        return Judged(run=run, profile=profile.name, reason="no rate: neither qps nor throughput_tok_s")
    longest = 1.05 * run.input_tokens + run.output_tokens
    if longest > profile.kv_tokens:
        return Judged(
            run=run,
            profile=profile.name,
            reason=f"a request of {longest:.0f} tokens exceeds the KV cache of {profile.kv_tokens:,}",
        )
    return Judged(run=run, profile=profile.name, simulated=simulate_run(profile, run, seed))


def _unless_it_does_not_fit(profile: Callable[[], Profile]) -> Profile | str:
    try:
        return profile()
    except BadInput as error:
        return f"no profile: {error}"


def _pair_of(model: str, gpu: str, tensor_parallel_size: int) -> tuple[str, str, int]:
    """Names in one spelling: the tables' where they know the name, else the given one in lower case."""
    known_model, known_gpu = model_of(model), gpu_of(gpu)
    return (
        known_model.name if known_model else model.casefold(),
        known_gpu.short_name if known_gpu else gpu.casefold(),
        tensor_parallel_size,
    )
