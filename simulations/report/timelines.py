"""The timelines of several runs, and what the page says about what they leave out."""

from collections.abc import Sequence
from typing import Any

from simulations.report.page import Plot
from simulations.report.stage_counts import stage_plot
from simulations.report.time_axis import TimeAxis
from simulations.report.timeline_plot import timeline_plot
from simulations.results import Result

MOST_TIMELINES = 6
"""Of a page; further runs have their replicas over time and no bars."""

_SHARED = "Nodes are shared: those of all workloads are shown, the pods are of this one."


def timelines(results: Sequence[Result], labels: Sequence[str]) -> list[Plot]:
    """A timeline a run, on one time axis; where it cannot show every pod, the number of pods in each stage as well."""
    axis = TimeAxis.for_duration(max(result.scenario.trace.duration_seconds for result in results))
    plots = []
    for number, (result, label) in enumerate(zip(results, labels, strict=True)):
        if not result.lifelines.pods or number >= MOST_TIMELINES:
            continue
        plot, left_out = timeline_plot(result, axis)
        kinds = "Pods and nodes" if result.lifelines.nodes else "Pods"
        notes = [left_out, _SHARED if result.lifelines.shares_nodes else "", _too_many(len(results), number)]
        plots.append(Plot(f"timeline-{number}", f"{kinds}: {label}", plot, " ".join(note for note in notes if note)))
        if left_out:
            plots.append(Plot(f"stages-{number}", f"Pods by stage: {label}", _stages(result, axis)))
    return plots


def _stages(result: Result, axis: TimeAxis) -> Any:
    return stage_plot(result.lifelines.pods, result.scenario.trace.duration_seconds, axis)


def _too_many(runs: int, number: int) -> str:
    if runs <= MOST_TIMELINES or number != MOST_TIMELINES - 1:
        return ""
    return f"The first {MOST_TIMELINES} of {runs} runs have a timeline."
