"""One cell of a sweep, as a worker runs it: its content in, the figures of the run out."""

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import simulations
from leadtime.scenario_build import run_of
from leadtime.scenario_file import ScenarioFile
from policies.errors import BadInput
from simulations.results import Result
from simulations.simulate import simulate_together
from simulations.sweep.cells import Content

_CODE = ("adapter", "leadtime", "policies", "simulations")
_NUMBERS = ("numba", "numpy")


def run_cell(content: Content) -> Mapping[str, Any]:
    """Simulate one policy on one scenario. Raises BadInput."""
    file = ScenarioFile.model_validate({**content["scenario"], "policies": [content["policy"]]})
    results = simulate_together(run_of(file, content["policy"], content["phase_seed"]).parts)
    figures = results[0].summary.as_dict() if len(results) == 1 else together(results)
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in figures.items()}


def together(results: Sequence[Result]) -> dict[str, float | int | str | None]:
    """Figures of several workloads: what adds up, attainment over all requests, then each one's as WORKLOAD.figure."""
    rows = [result.summary for result in results]
    requests = sum(row.requests for row in rows)
    good = sum(row.slo_attainment * row.requests for row in rows if row.requests)
    figures: dict[str, float | int | str | None] = {
        "requests": requests,
        "slo_attainment": good / requests if requests else math.nan,
        "gpu_hours": sum(row.gpu_hours for row in rows),
        "cost_usd": sum(row.cost_usd for row in rows),
        "rescales": sum(row.rescales for row in rows),
        "preemptions": sum(row.preemptions for row in rows),
    }
    for result in results:
        figures |= {f"{result.scenario.name}.{name}": value for name, value in result.summary.as_dict().items()}
    return figures


def run_cell_elsewhere(content: Content) -> Mapping[str, Any]:
    """`run_cell` on a machine that may have another leadtime: then the results would not be the same."""
    if content["code"] != code_fingerprint():
        raise BadInput(
            f"leadtime on {platform.node()} differs from the one that started the sweep, must be equal, with equal "
            f"{' and '.join(_NUMBERS)}; install the same version on every machine"
        )
    return run_cell(content)


@cache
def code_fingerprint() -> str:
    """Of all that turns a scenario into figures: leadtime's sources, and the libraries that do its arithmetic.

    Part of a cell's content, so that finished cells of another version are not taken for this one's.
    """
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in _NUMBERS).encode())
    root = Path(simulations.__file__).parents[1]
    for package in _CODE:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
