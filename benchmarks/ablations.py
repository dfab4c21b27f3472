"""What each ingredient of leadtime's rule is worth: the rule without it, beside the whole one at equal attainment.

    python benchmarks/ablations.py [DEMAND ...] [--days D] [--train-days D] [--lead-time SECONDS] [--asked 0.95,0.99]
                                   [--levels 0.9,...] [--counts DIR] [--json PATH] [--jobs 1]

DEMAND: as `leadtime frontier --demand` takes it; by default the recorded hour that ships, which has no yesterday and
shows little. Runs are at count level. The whole rule is run at every level of --levels as well: what it costs at the
attainment that a part of it delivers is read between those, as in a frontier, and the last column is the part's cost
beside that. n/a: it delivered more or less than the whole rule did at any level.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablation.ingredients import INGREDIENTS, Ingredient
from parallel import in_order

from leadtime.frontier_plan import CountedDemand, common_content, counted
from leadtime.frontier_plan import Task as FrontierTask
from leadtime.frontier_progress import CountProgress
from leadtime.frontier_task import run_frontier_cell
from leadtime.output import check_folder, check_writable, write_text
from leadtime.scenario import in_range, numbers
from policies.capacity.profile import profile_named
from policies.errors import BadInput
from simulations.counts.frontier import Point, gpu_hours_at
from simulations.slo import SLO
from simulations.trace import SHIPPED

WHOLE = Ingredient(name="nothing: the whole rule")
LEVELS = "0.85,0.9,0.93,0.94,0.95,0.96,0.97,0.98,0.99,0.995"
"""Attainments asked of the whole rule."""

Run = tuple[str, dict[str, Any]]
"""An ingredient's name, and a cell as `run_frontier_cell` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run's judged part. relative: GPU-hours beside the whole rule's at that attainment; None where it has none."""

    without: str
    asked: float
    attainment: float
    gpu_hours: float
    relative: float | None = None


def main() -> int:
    arguments = _arguments()
    try:
        _check(arguments)
        _ablate(arguments)
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Before the long work. Raises BadInput."""
    in_range("days", arguments.days, 0.02, 400.0)
    in_range("train-days", arguments.train_days, 0.02, 400.0)
    in_range("lead-time", arguments.lead_time, 1.0, 7_200.0)
    in_range("jobs", arguments.jobs, 1, 1_024)
    arguments.asked = numbers("asked", arguments.asked, 0.5, 0.9999)
    arguments.levels = numbers("levels", arguments.levels, 0.5, 0.9999)
    arguments.slo = numbers("slo", arguments.slo, 0.001, 3_600.0, count=2)
    if arguments.json is not None:
        check_writable("--json", arguments.json)
    if arguments.counts is not None:
        check_folder("--counts", arguments.counts)


def _ablate(arguments: argparse.Namespace) -> None:
    documents = []
    with TemporaryDirectory() as temporary:
        folder = arguments.counts or Path(temporary)
        for demand in arguments.demands or [str(SHIPPED)]:
            documents.append(_ablated(demand, folder, arguments))
            if arguments.json is not None:
                write_text(arguments.json, json.dumps(documents, indent=2) + "\n")


def without(run: Run) -> Outcome:
    """The rule without one ingredient, in this process."""
    name, content = run
    ingredient = next(each for each in (WHOLE, *INGREDIENTS) if each.name == name)
    parameters = {**content["parameters"], **ingredient.parameters}
    with ingredient.off():
        judged = run_frontier_cell({**content, "parameters": parameters})["judged"]
    asked = float(parameters["attainment"])
    return Outcome(without=name, asked=asked, attainment=judged["attainment"], gpu_hours=judged["gpu_hours"])


def _ablated(demand: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    task = FrontierTask(
        profile=profile_named(arguments.profile),
        slo=SLO(ttft_seconds=arguments.slo[0], tpot_seconds=arguments.slo[1]),
        train_days=arguments.train_days,
        days=arguments.days,
        peak_replicas=60.0,
        max_replicas=None,
        settings=1,
        seed=1,
        is_quick=False,
    )
    with CountProgress() as progress:
        each = counted(demand, 1, task, folder, lambda *doing: progress.update(demand, *doing))
    levels = sorted({*arguments.levels, *arguments.asked})
    runs = [_run(WHOLE, each, level, task, arguments.lead_time) for level in levels]
    runs += [_run(one, each, asked, task, arguments.lead_time) for asked in arguments.asked for one in INGREDIENTS]
    _say(f"\n{each.label}, lead time {arguments.lead_time:g} s, {len(runs)} runs")
    _say(f"{'without':<46}{'asked':>8}{'delivered':>11}{'GPU-hours':>11}{'beside the whole':>18}")
    outcomes: list[Outcome] = []
    for outcome in in_order(without, runs, arguments.jobs):
        whole = [Point(one.gpu_hours, one.attainment) for one in outcomes if one.without == WHOLE.name]
        compared = compare(outcome, whole) if outcome.without != WHOLE.name else outcome
        outcomes.append(compared)
        _say(_row(compared))
    return {
        "demand": demand,
        "lead_time_seconds": arguments.lead_time,
        "runs": [asdict(one) for one in outcomes],
    }


def compare(outcome: Outcome, whole: Sequence[Point]) -> Outcome:
    """With its cost beside the whole rule's, where that delivered less and more than this."""
    least = min(point.attainment for point in whole)
    hours = gpu_hours_at(whole, outcome.attainment) if outcome.attainment >= least else None
    return outcome if hours is None else replace(outcome, relative=outcome.gpu_hours / hours - 1.0)


def _run(ingredient: Ingredient, each: CountedDemand, asked: float, task: FrontierTask, lead_seconds: float) -> Run:
    parameters = {"attainment": f"{asked:g}", "lead_time_seconds": f"{lead_seconds:g}"}
    common = common_content(each, lead_seconds, task, code="")
    return ingredient.name, {**common, "policy": "leadtime", "parameters": parameters}


def _row(outcome: Outcome) -> str:
    beside = "n/a" if outcome.relative is None else f"{outcome.relative:+.1%}"
    beside = "" if outcome.without == WHOLE.name else beside
    return (
        f"{outcome.without:<46}{outcome.asked:>8.2%}{outcome.attainment:>11.2%}{outcome.gpu_hours:>11,.1f}{beside:>18}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demands", nargs="*", metavar="DEMAND")
    parser.add_argument("--days", type=float, help="of each demand; all of it by default")
    parser.add_argument("--train-days", type=float, default=7.0, help="before the judged part (default 7)")
    parser.add_argument("--lead-time", type=float, default=300.0, help="seconds (default 300)")
    parser.add_argument("--asked", default="0.95", help="of the rule without an ingredient (0.95)")
    parser.add_argument("--levels", default=LEVELS, help="asked of the whole rule")
    parser.add_argument("--slo", default="2,0.075", help="TTFT,TPOT in seconds (default 2,0.075)")
    parser.add_argument("--profile", default="llama-3.1-8b-fp8-l4", help="default llama-3.1-8b-fp8-l4")
    parser.add_argument("--counts", type=Path, help="keep counted demands here, for the next time")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
