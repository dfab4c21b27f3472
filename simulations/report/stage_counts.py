"""How many pods were in each stage over time: what is left of a timeline when there are too many pods to draw."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulations.report.page import figure
from simulations.report.time_axis import F8, TimeAxis
from simulations.report.timeline_plot import STAGE_COLORS
from simulations.results.lifelines import PodLine, PodStage

BINS = 400
"""Of one line: finer than a pixel of a phone."""
_FROM_BELOW = (
    PodStage.READY,
    PodStage.DRAINING,
    PodStage.LOADING,
    PodStage.STARTING,
    PodStage.PULLING,
    PodStage.PENDING,
)


def stage_plot(pods: Sequence[PodLine], horizon_seconds: float, axis: TimeAxis) -> Any:
    """Stacked areas, those that serve below. Each value is a mean over its 400th of the run, so no start is lost."""
    plot = axis.fit(figure(axis.title, "pods"))
    edges, counts = pods_by_stage(pods, horizon_seconds)
    for stage in _FROM_BELOW:
        if counts[stage].any():
            plot.add_scatter(
                x=axis.of(edges).astype(np.float32),
                y=np.append(counts[stage], counts[stage][-1:]).astype(np.float32),
                name=str(stage),
                stackgroup="pods",
                mode="lines",
                line={"shape": "hv", "width": 0.5, "color": STAGE_COLORS[stage]},
                fillcolor=STAGE_COLORS[stage],
                hovertemplate="%{y:.1f}",
            )
    return plot


def pods_by_stage(pods: Sequence[PodLine], horizon_seconds: float, bins: int = BINS) -> tuple[F8, dict[PodStage, F8]]:
    """(edges in seconds, shape (bins + 1,); for each stage the mean number of pods in it, shape (bins,))."""
    edges: F8 = np.linspace(0.0, horizon_seconds, bins + 1)
    width = horizon_seconds / bins
    counts = {}
    for stage in PodStage:
        begins = np.array([span.begin_seconds for pod in pods for span in pod.spans if span.stage == stage])
        ends = np.array([span.end_seconds for pod in pods for span in pod.spans if span.stage == stage])
        totals = _passed(edges, begins) - _passed(edges, ends)
        counts[stage] = np.diff(totals) / width
    return edges, counts


def _passed(edges: F8, instants: F8) -> F8:
    """For each edge, the sum over the instants before it of the seconds since then."""
    known = np.sort(instants[np.isfinite(instants)])
    before = np.searchsorted(known, edges)
    totals = np.concatenate([[0.0], np.cumsum(known)])
    passed: F8 = before * edges - totals[before]
    return passed
