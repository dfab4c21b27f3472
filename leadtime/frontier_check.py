"""How far the count-level model is off: chosen settings on slices of the judged part, at both levels."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from leadtime.frontier_plan import CLAIRVOYANT, CountedDemand, Task, common_content, thinned_demand
from leadtime.frontier_results import DemandFrontier, PolicyFrontier, Setting
from leadtime.frontier_task import counts_at, policy_of, world_of
from policies.capacity.profile import profile_named
from simulations.counts.capacity import initial_replicas
from simulations.counts.demand_counts import BIN_SECONDS, count
from simulations.counts.run import count_run
from simulations.lead_time import LeadTime
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.sweep.cells import Cell, Content
from simulations.trace import Trace

SLICES = 3
_SAME_HOURS = 0.02
_SAME_ATTAINMENT = 0.005
_COMPARED = 0.95
"""Frontiers are compared from here on; below, fleets collapse, and the model is not made for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One setting on one slice, in both. The figures are attainment in [0, 1] and GPU-hours."""

    demand: str
    lead_seconds: float
    policy: str
    parameters: Mapping[str, Any]
    start_seconds: float
    count_attainment: float
    full_attainment: float
    count_gpu_hours: float
    full_gpu_hours: float

    @property
    def slice(self) -> tuple[str, float, float]:
        """Runs of one slice and lead time can be compared."""
        return self.demand, self.lead_seconds, self.start_seconds

    @property
    def attainment_error(self) -> float:
        """Of the count-level model, in [-1, 1]."""
        return self.count_attainment - self.full_attainment

    @property
    def gpu_hours_error(self) -> float:
        """Relative."""
        return self.count_gpu_hours / self.full_gpu_hours - 1.0


def check_cells(
    each: DemandFrontier, settings: int, hours: float, task: Task, folder: Path, code: str
) -> Iterator[Cell]:
    """A cell for each policy's setting and slice: slices evenly over the judged part, settings along the frontier."""
    slices = _slices(each.demand, hours, task, folder)
    common = common_content(each.demand, each.lead_seconds, task, code)
    for (start, path), (policy, setting) in itertools.product(slices, _chosen(each.policies, settings)):
        own = {
            "demand": each.demand.label,
            "slice": str(path),
            "counts": str(path.with_suffix(".counts.npz")),
            "start_seconds": start,
            "initial_replicas": initial_replicas(
                counts_at(str(path.with_suffix(".counts.npz"))), task.profile, task.slo.tpot_seconds
            ),
        }
        yield Cell.of({**common, **own, "policy": policy, "parameters": dict(setting.parameters)})


def run_check_cell(content: Content) -> Mapping[str, Any]:
    """One setting on one slice, at both levels. Raises BadInput."""
    world, policy = world_of(content), policy_of(content)
    figures = count_run(world, policy).figures()
    scenario = Scenario(
        trace=_load(Path(content["slice"])),
        profile=profile_named(content["profile"]),
        slo=SLO(**content["slo"]),
        lead_time=LeadTime.of_median(content["lead_seconds"]),
        initial_replicas=content["initial_replicas"],
        seed=content["seed"],
    )
    summary = simulate(scenario, policy).summary
    return {
        "count_attainment": figures.attainment,
        "full_attainment": summary.slo_attainment,
        "count_gpu_hours": figures.gpu_hours,
        "full_gpu_hours": summary.gpu_hours,
    }


def order_changes(checked: Sequence[Checked]) -> list[tuple[str, str, float]]:
    """(policy, other policy, slice's start) where one is clearly better at one level and clearly worse at the other.

    Better: fewer GPU-hours (2 %) at an attainment no lower, or more attainment (0.5 points) at GPU-hours no higher;
    two settings of one policy count as well.
    """
    changes = []
    for first, second in itertools.combinations(checked, 2):
        if first.slice == second.slice and _order(first, second, 0) * _order(first, second, 1) < 0:
            changes.append((first.policy, second.policy, first.start_seconds))
    return changes


def check_table(checked: Sequence[Checked]) -> Table:
    """A row a policy: the mean and the largest error over its settings and slices, apart for what collapses."""
    table = Table(title="Count-level model against the full simulator", title_justify="left", box=None, pad_edge=False)
    for title in ("policy", "runs that attain"):
        table.add_column(title)
    for title in ("runs", "attainment: mean error", "largest", "GPU-hours: mean error", "largest"):
        table.add_column(title, justify="right")
    for policy in dict.fromkeys(each.policy for each in checked):
        own = [each for each in checked if each.policy == policy]
        for text, group in (
            (f"{_COMPARED:.0%} and more", [each for each in own if each.full_attainment >= _COMPARED]),
            ("less", [each for each in own if each.full_attainment < _COMPARED]),
        ):
            if group:
                table.add_row(policy, text, str(len(group)), *_errors(group))
    return table


def _errors(checked: Sequence[Checked]) -> tuple[str, str, str, str]:
    attainment = [100 * each.attainment_error for each in checked]
    hours = [100 * each.gpu_hours_error for each in checked]
    return (
        f"{np.mean(attainment):+.2f} pp",
        f"{max(attainment, key=abs):+.2f} pp",
        f"{np.mean(hours):+.1f} %",
        f"{max(hours, key=abs):+.1f} %",
    )


def _order(first: Checked, second: Checked, level: int) -> int:
    """1 where the first is clearly better, -1 where it is clearly worse, else 0.

    level: 0 for the count-level model, 1 for the full simulator.
    """
    (hours, attainment), (other_hours, other_attainment) = (
        ((one.count_gpu_hours, one.full_gpu_hours)[level], (one.count_attainment, one.full_attainment)[level])
        for one in (first, second)
    )
    ratio, gain = hours / other_hours, attainment - other_attainment
    if ratio <= 1.0 and gain >= 0 and (ratio < 1.0 - _SAME_HOURS or gain > _SAME_ATTAINMENT):
        return 1
    if ratio >= 1.0 and gain <= 0 and (ratio > 1.0 + _SAME_HOURS or gain < -_SAME_ATTAINMENT):
        return -1
    return 0


def _chosen(policies: Sequence[PolicyFrontier], settings: int) -> list[tuple[str, Setting]]:
    """Evenly along each policy's chosen settings, both ends included, of those that attained half in training."""
    pairs = []
    for policy in policies:
        if policy.policy == CLAIRVOYANT:
            continue
        useful = [each for each in policy.chosen if (each.train["attainment"] or 0.0) >= 0.5] or policy.chosen
        places = np.unique(np.linspace(0, len(useful) - 1, min(settings, len(useful))).round().astype(int))
        pairs += [(policy.policy, useful[place]) for place in places.tolist()]
    return pairs


def _slices(each: CountedDemand, hours: float, task: Task, folder: Path) -> list[tuple[float, Path]]:
    """(start in the demand, file) of each slice: requests and counts, written in one pass over the demand."""
    begin, end = each.train_bins * BIN_SECONDS, each.counts.bins * BIN_SECONDS
    seconds = min(hours * 3_600, (end - begin) / SLICES) // BIN_SECONDS * BIN_SECONDS
    starts = [begin + (end - begin - seconds) * number / (SLICES - 1) for number in range(SLICES)]
    starts = [start // BIN_SECONDS * BIN_SECONDS for start in starts]
    files = [folder / f"{each.path.stem}-{start:.0f}-{seconds:.0f}.npz" for start in starts]
    if not all(file.with_suffix(".counts.npz").is_file() for file in files):
        pieces: list[list[Trace]] = [[] for _ in starts]
        for piece in thinned_demand(each, task).pieces():
            for start, held in zip(starts, pieces, strict=True):
                low, high = np.searchsorted(piece.arrival_seconds, [start, start + seconds])
                if high > low:
                    held.append(piece.part(slice(int(low), int(high))))
        for start, held, file in zip(starts, pieces, files, strict=True):
            if held:
                _save(held, start, seconds, file)
    return [(start, file) for start, file in zip(starts, files, strict=True) if file.is_file()]


def _save(pieces: Sequence[Trace], start: float, seconds: float, path: Path) -> None:
    np.savez_compressed(
        path,
        name=pieces[0].name,
        start_ns=pieces[0].start_ns + round(start * 1e9),
        ends_seconds=seconds,
        arrival_seconds=np.concatenate([piece.arrival_seconds for piece in pieces]) - start,
        prompt_tokens=np.concatenate([piece.prompt_tokens for piece in pieces]),
        output_tokens=np.concatenate([piece.output_tokens for piece in pieces]),
    )
    count(_load(path)).save(path.with_suffix(".counts.npz"))


def _load(path: Path) -> Trace:
    with np.load(path, allow_pickle=False) as file:
        return Trace(
            str(file["name"]),
            int(file["start_ns"]),
            file["arrival_seconds"],
            file["prompt_tokens"],
            file["output_tokens"],
            ends_seconds=float(file["ends_seconds"]),
        )
