"""Latency profiles from measured runs: shared efficiencies and a small correction a pair, fitted together.

Runs are few and each has three means, so everything is regularised: the efficiencies towards what is known of the
hardware (`PRIOR`), each pair's correction towards none. A pair that no run measured is then predicted from all other
pairs, and a pair with many runs mostly from its own.

    minimise  sum (log(simulated / measured) / noise)^2  +  sum (log(parameter / prior) / prior's spread)^2

by Gauss-Newton in log space on the closed form (steady_state.py). Then the simulator runs every measured run, what
it says beyond the closed form is taken as given, and the minimum is found again: so the fit is to simulated figures,
not to the formula's. (They differ by 1.5 % at most on the shipped runs, so one such round is enough.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from policies.capacity.gpus import Gpu, gpu_of
from policies.capacity.kv_cache import kv_blocks
from policies.capacity.measured import Pair
from policies.capacity.models import Model, model_of
from policies.capacity.profile import Profile, physical_profile
from policies.capacity.step_time import PRIOR, UNCORRECTED, Correction, Efficiency
from policies.errors import BadInput
from simulations.calibration.measured_run import MeasuredRun, SimulatedRun, simulate_run
from simulations.calibration.steady_state import steady_state

METRICS = ("itl_seconds", "e2e_seconds", "ttft_seconds")

_NOISE = {"itl_seconds": 0.03, "e2e_seconds": 0.03, "ttft_seconds": 0.10}
"""How far a perfect model may be off, as a share: means over minutes repeat within a few percent; TTFT is one
request's luck against the step under way, and the API server's load."""

_SPREAD = {
    "weight_bandwidth": 0.10,
    "kv_bandwidth": 0.25,
    "decode_compute": 0.50,
    "layer_seconds": 0.30,
    "all_reduce_seconds": 0.70,
    "api_seconds": 0.50,
}
"""How far the truth may be from PRIOR, as a share; wide where little is known."""

_PAIR_SPREAD = {"base": 0.05, "growth": 0.15, "overhead": 0.20}
"""How far one pair may be from what the shared efficiencies say."""

_STEPS = 30
_CONVERGED = 1e-6
_DIFFERENCE = 1e-5

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a set of runs says; `profile` applies it to any model and GPU of the tables."""

    efficiency: Efficiency
    corrections: dict[Pair, Correction]

    def profile(self, model: Model, gpu: Gpu, tensor_parallel_size: int) -> Profile:
        """The fitted profile of a pair, measured or not; BadInput when the model does not fit the GPU."""
        pair = (model.name, gpu.short_name, tensor_parallel_size)
        return physical_profile(
            model,
            gpu,
            tensor_parallel_size,
            efficiency=self.efficiency,
            correction=self.corrections.get(pair, UNCORRECTED),
        )


@dataclass(frozen=True, slots=True)
class _Known:
    """A run that can be fitted: its hardware is in the tables and its rate is known."""

    run: MeasuredRun
    model: Model
    gpu: Gpu

    @property
    def pair(self) -> Pair:
        return self.model.name, self.gpu.short_name, self.run.tensor_parallel_size


def why_not_fitted(run: MeasuredRun) -> str | None:
    """Why a run tells a fit nothing, or None when it does."""
    model, gpu = model_of(run.model), gpu_of(run.gpu)
    if model is None:
        return f"model {run.model} is not in policies/capacity/models.py"
    if gpu is None:
        return f"GPU {run.gpu} is not in policies/capacity/gpus.py"
    try:
        kv_blocks(model, gpu, run.tensor_parallel_size)
    except BadInput as error:
        return str(error)
    if run.requests_per_second is None:
        return "no rate: neither qps nor throughput_tok_s"
    if all(getattr(run, metric) is None for metric in METRICS):
        return "no figure: neither tpot_ms nor e2e_ms nor ttft_ms"
    return None


def fit_runs(
    runs: Sequence[MeasuredRun],
    *,
    seed: int = 1,
    simulate: Callable[[Profile, MeasuredRun, int], SimulatedRun] = simulate_run,
) -> Fit:
    """Fit the runs that can be fitted (`why_not_fitted`); BadInput when there are none."""
    known = [_known(run) for run in runs if why_not_fitted(run) is None]
    if not known:
        reason = why_not_fitted(runs[0]) if runs else "no rows"
        raise BadInput(f"no measured run can be fitted; line {runs[0].line if runs else 1}: {reason}")
    pairs = sorted({each.pair for each in known})
    start = np.zeros(len(_SPREAD) + len(_PAIR_SPREAD) * len(pairs))
    parameters = _gauss_newton(known, pairs, np.zeros((len(known), len(METRICS))), start)
    fit = _fit(parameters, pairs)
    beyond = np.empty((len(known), len(METRICS)))
    for row, each in enumerate(known):
        profile = fit.profile(each.model, each.gpu, each.run.tensor_parallel_size)
        beyond[row] = _logs(simulate(profile, each.run, seed)) - _logs(steady_state(profile, each.run))
    return _fit(_gauss_newton(known, pairs, beyond, parameters), pairs)


def _known(run: MeasuredRun) -> _Known:
    model, gpu = model_of(run.model), gpu_of(run.gpu)
    assert model is not None
    assert gpu is not None
    return _Known(run, model, gpu)


def _gauss_newton(known: Sequence[_Known], pairs: Sequence[Pair], beyond: F8, start: F8) -> F8:
    """The parameters, as logarithms of their ratio to the prior, that minimise the sum of squares."""
    spreads = np.array([*_SPREAD.values(), *(list(_PAIR_SPREAD.values()) * len(pairs))])
    measured = np.array([_logs(each.run) for each in known])
    noise = np.array([_NOISE[metric] for metric in METRICS])

    def residuals(parameters: F8) -> F8:
        fit = _fit(parameters, pairs)
        formula = np.array(
            [
                _logs(steady_state(fit.profile(each.model, each.gpu, each.run.tensor_parallel_size), each.run))
                for each in known
            ]
        )
        errors = np.nan_to_num((formula + beyond - measured) / noise)  # a figure that was not measured says nothing
        return np.concatenate([errors.ravel(), parameters / spreads])

    parameters = start
    for _ in range(_STEPS):
        here = residuals(parameters)
        jacobian = np.empty((len(here), len(parameters)))
        for index in range(len(parameters)):
            moved = parameters.copy()
            moved[index] += _DIFFERENCE
            jacobian[:, index] = (residuals(moved) - here) / _DIFFERENCE
        step, *_ = np.linalg.lstsq(jacobian, -here, rcond=None)
        parameters = parameters + np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < _CONVERGED:
            break
    return parameters


def _fit(parameters: F8, pairs: Sequence[Pair]) -> Fit:
    ratios = np.exp(parameters)
    shared = {name: getattr(PRIOR, name) * float(ratio) for name, ratio in zip(_SPREAD, ratios, strict=False)}
    own = ratios[len(_SPREAD) :].reshape(len(pairs), len(_PAIR_SPREAD))
    names = [field.name for field in fields(Correction)]
    return Fit(
        efficiency=replace(PRIOR, **shared),
        corrections={
            pair: Correction(**dict(zip(names, (float(ratio) for ratio in row), strict=True)))
            for pair, row in zip(pairs, own, strict=True)
        },
    )


def _logs(figures: MeasuredRun | SimulatedRun) -> F8:
    """Logarithms of the three means; NaN for one that was not measured."""
    return np.array([np.log(value) if (value := getattr(figures, metric)) else np.nan for metric in METRICS])
