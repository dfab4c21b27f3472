"""The timeline of a run's pods and nodes: a bar for each stage, nodes behind the pods that they hold."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from simulations.report.lanes import Lanes, NodeBar, PodBar, lanes_of
from simulations.report.page import figure
from simulations.report.time_axis import F8, TimeAxis
from simulations.results import Result
from simulations.results.lifelines import PodStage

STAGE_COLORS = {
    PodStage.PENDING: "#d55e00",
    PodStage.PULLING: "#e69f00",
    PodStage.STARTING: "#56b4e9",
    PodStage.LOADING: "#f0e442",
    PodStage.READY: "#0072b2",
    PodStage.DRAINING: "#cc79a7",
}
"""Of the palette that is told apart with any colour vision: Okabe and Ito, "Color Universal Design", 2008."""

_ON_DEMAND, _SPOT = "#d1d5db", "#a7dcc8"
MOST_MARKS = 500
"""Of one kind; a crash loop of many pods would hide all else."""

_ROW_PIXELS = 15
_FRAME_PIXELS = 150


def timeline_plot(result: Result, axis: TimeAxis) -> tuple[Any, str]:
    """(the plot, what it leaves out in words: empty where it shows the whole run)."""
    horizon = result.scenario.trace.duration_seconds
    lanes = lanes_of(result.lifelines, horizon, result.intervals)
    plot = figure(axis.title, "")
    _add_nodes(plot, lanes, axis)
    _add_pods(plot, lanes, axis)
    _add_marks(plot, lanes, axis)
    plot.update_layout(
        barmode="overlay",
        bargap=0,
        hovermode="closest",
        height=_FRAME_PIXELS + _ROW_PIXELS * max(4, lanes.rows),
        margin={"l": 78, "r": 8, "t": 8, "b": 44},
        legend={"orientation": "h", "y": -60 / (_ROW_PIXELS * max(4, lanes.rows)), "x": -0.2, "yanchor": "top"},
    )
    is_whole = lanes.begin_seconds <= 0 and lanes.end_seconds >= horizon
    shown = [0.0, axis.duration_seconds] if is_whole else [lanes.begin_seconds, lanes.end_seconds]
    plot.update_xaxes(range=axis.of(shown).tolist())
    labels = _labels(lanes)
    plot.update_yaxes(
        range=[max(4, lanes.rows) - 0.5, -0.5],
        tickvals=[at for at, _ in labels],
        ticktext=[label for _, label in labels],
        showgrid=False,
        zeroline=False,
    )
    if lanes.pending_rows:
        plot.add_hline(y=lanes.pending_rows - 0.5, line={"color": "#6b7280", "width": 1})
    return plot, _left_out(lanes, horizon, axis)


def _left_out(lanes: Lanes, horizon: float, axis: TimeAxis) -> str:
    parts = []
    if lanes.begin_seconds > 0 or lanes.end_seconds < horizon:
        begin, end = axis.of([lanes.begin_seconds, lanes.end_seconds]).tolist()
        parts.append(
            f"the {axis.unit} {begin:.4g} to {end:.4g} of {horizon / axis.unit_seconds:.4g}, where most requests "
            "missed the SLO or, if none did, most pods were asked for"
        )
    if lanes.all_rows > lanes.rows:
        parts.append(f"{lanes.rows} of {lanes.all_rows:,} rows, those with most changes")
    return f"Shown are {' and '.join(parts)}." if parts else ""


def _labels(lanes: Lanes) -> list[tuple[float, str]]:
    """(row, text), no two so close that they touch."""
    word = "node" if lanes.nodes else "pod"
    labels = [((lanes.pending_rows - 1) / 2, "pending")] if lanes.pending_rows else []
    for number, (row, rows) in enumerate(lanes.slots):
        at = row + (rows - 1) / 2
        if not labels or at - labels[-1][0] >= 1.0:
            labels.append((at, f"{word} {number + 1}"))
    return labels


def _add_nodes(plot: Any, lanes: Lanes, axis: TimeAxis) -> None:
    """Provisioning hatched, then plain: grey on demand, green spot."""
    for is_spot in (False, True):
        own = [bar for bar in lanes.nodes if bar.node.spot == is_spot]
        kind, color = ("spot node", _SPOT) if is_spot else ("node", _ON_DEMAND)
        for name, pattern, span in (
            (f"{kind}: provisioning", "/", _provisioning),
            (kind, "", _there),
        ):
            shown = [(bar, *span(bar)) for bar in own]
            shown = [each for each in shown if min(each[2], lanes.end_seconds) > max(each[1], lanes.begin_seconds)]
            if not shown:
                continue
            begins, widths = _clipped([(begin, end) for _, begin, end in shown], lanes, axis)
            plot.add_bar(
                orientation="h",
                base=begins,
                x=widths,
                y=np.array([bar.row + (bar.rows - 1) / 2 for bar, _, _ in shown], np.float32),
                width=np.array([bar.rows - 0.06 for bar, _, _ in shown], np.float32),
                name=name,
                marker={
                    "color": color,
                    "line": {"color": "#6b7280", "width": 0.5},
                    "pattern": {
                        "shape": pattern,
                        "fgcolor": "#374151",
                        "bgcolor": "#ffffff" if pattern else color,
                        "size": 5,
                        "solidity": 0.2,
                    },
                },
                text=[_node_text(bar) for bar, _, _ in shown],
                textposition="none",
                hovertemplate="%{text}<extra>" + name + "</extra>",
            )


def _add_pods(plot: Any, lanes: Lanes, axis: TimeAxis) -> None:
    for stage, color in STAGE_COLORS.items():
        own = [bar for bar in lanes.pods if bar.span.stage == stage]
        if not own:
            continue
        begins, widths = _clipped([(bar.span.begin_seconds, bar.span.end_seconds) for bar in own], lanes, axis)
        plot.add_bar(
            orientation="h",
            base=begins,
            x=widths,
            y=np.array([bar.row for bar in own], np.int16),
            width=0.66,
            name=str(stage),
            marker={"color": color, "line": {"color": "#374151", "width": 0.4}},
            text=[_pod_text(bar) for bar in own],
            textposition="none",
            hovertemplate="%{text}<extra>" + stage + "</extra>",
        )


def _add_marks(plot: Any, lanes: Lanes, axis: TimeAxis) -> None:
    """Containers that ended, pods that had to leave, nodes that were taken back or never came."""
    pods = list({(bar.pod.name, bar.row): bar for bar in lanes.pods if bar.span.stage != PodStage.PENDING}.values())
    ended = [(at, bar.row, f"{bar.pod.name}: container ended") for bar in pods for at in bar.pod.ended_containers_at]
    evicted = [(bar.pod.deleted_at, bar.row, f"{bar.pod.name}: {bar.pod.evicted}") for bar in pods if bar.pod.evicted]
    nodes = [
        (bar.node.removed_at, bar.row + (bar.rows - 1) / 2, f"{bar.node.name}: {bar.node.removed_reason}", bar.node)
        for bar in lanes.nodes
    ]
    taken = [(at, row, text) for at, row, text, node in nodes if node.was_taken]
    failed = [(at, row, text) for at, row, text, node in nodes if node.has_failed]
    for name, symbol, marks in (
        ("crash or kill", "x", ended),
        ("pod evicted", "diamond", evicted),
        ("node taken back", "triangle-left", taken),
        ("node did not come", "hourglass", failed),
    ):
        shown = [mark for mark in marks if lanes.begin_seconds <= mark[0] <= lanes.end_seconds][:MOST_MARKS]
        if shown:
            plot.add_scatter(
                x=axis.of([at for at, _, _ in shown]),
                y=[row for _, row, _ in shown],
                name=name,
                mode="markers",
                marker={"symbol": symbol, "size": 9, "color": "#111827", "line": {"color": "white", "width": 1}},
                text=[html.escape(text) for _, _, text in shown],
                hovertemplate="%{text}<extra></extra>",
            )


def _clipped(spans: Sequence[tuple[float, float]], lanes: Lanes, axis: TimeAxis) -> tuple[Any, Any]:
    """(begins, widths) in the axis's unit, within the window; single precision is finer than a pixel."""
    array = np.clip(np.array(spans, np.float64), lanes.begin_seconds, lanes.end_seconds)
    begins: F8 = axis.of(array[:, 0])
    return begins.astype(np.float32), (axis.of(array[:, 1]) - begins).astype(np.float32)


def _provisioning(bar: NodeBar) -> tuple[float, float]:
    return bar.node.asked_at, min(bar.node.ready_at, bar.node.removed_at)


def _there(bar: NodeBar) -> tuple[float, float]:
    return bar.node.ready_at, bar.node.removed_at


def _node_text(bar: NodeBar) -> str:
    node = bar.node
    facts = [html.escape(node.name), html.escape(node.zone), f"{node.gpus} GPUs", "spot" if node.spot else ""]
    return ", ".join(fact for fact in facts if fact)


def _pod_text(bar: PodBar) -> str:
    pod, span = bar.pod, bar.span
    lasted = "to the end" if math.isinf(span.end_seconds) else f"{span.end_seconds - span.begin_seconds:.0f} s"
    where = f" on {html.escape(pod.node)}" if pod.node and span.stage != PodStage.PENDING else ""
    return f"{html.escape(pod.name)}{where}, {lasted}"
