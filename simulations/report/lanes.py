"""Which row of a timeline each bar has: pods that are pending above, then nodes with their pods under them.

A row is used again once its bar has ended, so that there are as many rows as there ever was at a time: 1,000 pods one
after the other are one row. Where even that is too much to read, a part of the run is chosen.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from simulations.results.intervals import INTERVAL_SECONDS, Intervals
from simulations.results.lifelines import Lifelines, NodeLine, PodLine, PodStage, Span

MOST_ROWS = 60
"""Of one timeline: about two screens of a phone."""
MOST_BARS = 2_000
"""Of one timeline, about 150 kB of the page."""
_SHORTEST_WINDOW_SECONDS = 1_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodBar:
    """One stage of one pod in one row; rows count from 0 at the top."""

    row: int
    pod: PodLine
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBar:
    """A node behind its pods' rows: `rows` of them from `row` on."""

    row: int
    rows: int
    node: NodeLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """What is drawn of a run: the bars from begin_seconds to end_seconds, in `rows` rows.

    pending_rows: of them, those at the top that pending pods take. all_rows: what the window would need.
    slots: (first row, rows) of each node's place, oldest first; of each pod's where no nodes are simulated.
    """

    begin_seconds: float
    end_seconds: float
    rows: int
    all_rows: int
    pending_rows: int
    slots: tuple[tuple[int, int], ...]
    pods: tuple[PodBar, ...]
    nodes: tuple[NodeBar, ...]


def packed(spans: Sequence[tuple[float, float]]) -> tuple[list[int], int]:
    """(row of each, rows): the first row that is free when it begins. spans: (begin, end), by begin.

    No two of one row overlap, and there are as many rows as there ever are spans at a time.
    """
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    rows = []
    count = 0
    for begin, end in spans:
        while busy and busy[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            row = heapq.heappop(free)
        else:
            row, count = count, count + 1
        heapq.heappush(busy, (end, row))
        rows.append(row)
    return rows, count


def lanes_of(lines: Lifelines, horizon_seconds: float, intervals: Intervals) -> Lanes:
    """The whole run where it has at most MOST_BARS bars; else half of it, a quarter, ..., not below half an hour.

    A part lies around the most requests that missed the SLO; where none did, around the most pods asked for. Of more
    than MOST_ROWS rows, those where most happens are kept.
    """
    length = horizon_seconds
    while True:
        begin = _most_interesting(lines, horizon_seconds, length, intervals)
        lanes = _lanes(lines, begin, begin + length)
        if len(lanes.pods) <= MOST_BARS or length <= _SHORTEST_WINDOW_SECONDS:
            return lanes
        length = max(length / 2, _SHORTEST_WINDOW_SECONDS)


def _most_interesting(lines: Lifelines, horizon: float, length: float, intervals: Intervals) -> float:
    if length >= horizon:
        return 0.0
    minutes = max(1, math.ceil(horizon / INTERVAL_SECONDS))
    weights = np.zeros(minutes)
    missed = (intervals.arrivals - intervals.good)[:minutes]
    weights[: len(missed)] = missed
    if not weights.any():
        asked = [int(pod.asked_at // INTERVAL_SECONDS) for pod in lines.pods if 0.0 < pod.asked_at < horizon]
        weights = np.bincount(asked, minlength=minutes)[:minutes].astype(np.float64)
    totals = np.concatenate([[0.0], np.cumsum(weights)])
    wide = max(1, int(length // INTERVAL_SECONDS))
    sums = totals[wide:] - totals[:-wide]
    best = np.flatnonzero(sums == sums.max())
    return float(min(best[len(best) // 2] * INTERVAL_SECONDS, horizon - length))  # the middle of several


def _lanes(lines: Lifelines, begin: float, end: float) -> Lanes:
    pods = [pod for pod in lines.pods if pod.asked_at < end and pod.ended_at > begin]
    pending, pending_rows = _pending(pods, begin, end)
    shown_pending = min(pending_rows, MOST_ROWS // 4)
    places = _node_places(lines.nodes, pods, begin, end) if lines.nodes else _pod_places(pods, begin, end)
    kept, row = _chosen(places, MOST_ROWS - shown_pending), shown_pending
    pod_bars = [bar for bar in pending if bar.row < shown_pending]
    node_bars, slots = [], []
    for place in kept:
        slots.append((row, place.rows))
        pod_bars += [PodBar(row=row + bar.row, pod=bar.pod, span=bar.span) for bar in place.pods]
        node_bars += [NodeBar(row=row, rows=place.rows, node=node) for node in place.nodes]
        row += place.rows
    return Lanes(
        begin_seconds=begin,
        end_seconds=end,
        rows=row,
        all_rows=pending_rows + sum(place.rows for place in places),
        pending_rows=shown_pending,
        slots=tuple(slots),
        pods=tuple(pod_bars),
        nodes=tuple(node_bars),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Rows that one node after the other has, or one pod after the other where there are no nodes."""

    rows: int
    nodes: tuple[NodeLine, ...]
    pods: tuple[PodBar, ...]


def _pending(pods: Sequence[PodLine], begin: float, end: float) -> tuple[list[PodBar], int]:
    waits = [
        (pod, span)
        for pod in pods
        for span in pod.spans
        if span.stage == PodStage.PENDING and _overlaps(span, begin, end)
    ]
    waits.sort(key=lambda each: each[1].begin_seconds)
    rows, count = packed([(span.begin_seconds, span.end_seconds) for _, span in waits])
    return [PodBar(row=row, pod=pod, span=span) for row, (pod, span) in zip(rows, waits, strict=True)], count


def _node_places(nodes: Sequence[NodeLine], pods: Sequence[PodLine], begin: float, end: float) -> list[_Place]:
    """A place a node; one whose node is gone is the next one's of the same pool."""
    by_node: dict[str, list[PodLine]] = {}
    for pod in pods:
        by_node.setdefault(pod.node, []).append(pod)
    places = []
    for pool in dict.fromkeys(node.pool for node in nodes):
        own = [node for node in nodes if node.pool == pool and node.asked_at < end and node.removed_at > begin]
        slots, count = packed([(node.asked_at, node.removed_at) for node in own])
        for slot in range(count):
            here = [node for node, each in zip(own, slots, strict=True) if each == slot]
            bars, rows = [], 1
            for node in here:
                more, high = _on_node(by_node.get(node.name, ()), begin, end)
                bars += more
                rows = max(rows, high)
            places.append(_Place(rows, tuple(here), tuple(bars)))
    return places


def _pod_places(pods: Sequence[PodLine], begin: float, end: float) -> list[_Place]:
    """Where every pod has a node of its own, at once: a row a pod."""
    bars, rows = _on_node(pods, begin, end)
    by_row: dict[int, list[PodBar]] = {row: [] for row in range(rows)}
    for bar in bars:
        by_row[bar.row].append(PodBar(row=0, pod=bar.pod, span=bar.span))
    return [_Place(1, (), tuple(own)) for own in by_row.values()]


def _on_node(pods: Iterable[PodLine], begin: float, end: float) -> tuple[list[PodBar], int]:
    """All stages but PENDING of pods that share a node, a row for each that is there at a time."""
    lives = []
    for pod in pods:
        spans = [span for span in pod.spans if span.stage != PodStage.PENDING]
        if spans:
            lives.append((spans[0].begin_seconds, spans[-1].end_seconds, pod, spans))
    lives.sort(key=lambda life: life[0])
    rows, count = packed([(first, last) for first, last, _, _ in lives])
    bars = [
        PodBar(row=row, pod=pod, span=span)
        for row, (_, _, pod, spans) in zip(rows, lives, strict=True)
        for span in spans
        if _overlaps(span, begin, end)
    ]
    return bars, count


def _chosen(places: Sequence[_Place], most_rows: int) -> list[_Place]:
    """Those in which most happens, in their order, as many as there are rows for; always one."""
    left = most_rows
    kept: set[int] = set()
    for number in sorted(range(len(places)), key=lambda each: (-len(places[each].pods), each)):
        if places[number].rows <= left or not kept:
            kept.add(number)
            left -= places[number].rows
    return [place for number, place in enumerate(places) if number in kept]


def _overlaps(span: Span, begin: float, end: float) -> bool:
    return span.begin_seconds < end and span.end_seconds > begin
