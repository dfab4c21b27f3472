"""What cold starts were made of: how long each stage took, by the path that the pods took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulations.results import Result
from simulations.results.lifelines import PodLine, PodStage

STARTS = (PodStage.PENDING, PodStage.PULLING, PodStage.STARTING, PodStage.LOADING)
"""The stages from the ask for a pod to its first Ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStarts:
    """Pods of one path that were asked for after the start and got ready. Seconds.

    mean_seconds: of each of STARTS; they add up to mean_total_seconds. p95_total_seconds: from the ask to ready.
    """

    path: str
    pods: int
    mean_seconds: dict[PodStage, float]
    mean_total_seconds: float
    p95_total_seconds: float

    @property
    def longest_stage(self) -> PodStage:
        return max(STARTS, key=lambda stage: self.mean_seconds[stage])


def cold_starts(result: Result) -> tuple[ColdStarts, ...]:
    """A row a path, most pods first; then all together where there is more than one path."""
    started = [(pod, spans) for pod in result.lifelines.pods if pod.asked_at > 0 and (spans := _start(pod)) is not None]
    groups: dict[str, list[dict[PodStage, float]]] = {}
    for pod, spans in started:
        groups.setdefault(pod.path, []).append(spans)
    rows = [_row(path, own) for path, own in sorted(groups.items(), key=lambda each: (-len(each[1]), each[0]))]
    if len(rows) > 1:
        rows.append(_row("all", [spans for _, spans in started]))
    return tuple(rows)


def _start(pod: PodLine) -> dict[PodStage, float] | None:
    """Seconds of each stage until it was ready for the first time; None for one that never was."""
    seconds = dict.fromkeys(STARTS, 0.0)
    for span in pod.spans:
        if span.stage == PodStage.READY:
            return seconds
        if span.stage in seconds:
            seconds[span.stage] += span.end_seconds - span.begin_seconds
    return None


def _row(path: str, starts: Sequence[dict[PodStage, float]]) -> ColdStarts:
    totals = [math.fsum(each.values()) for each in starts]
    return ColdStarts(
        path=path,
        pods=len(starts),
        mean_seconds={stage: math.fsum(each[stage] for each in starts) / len(starts) for stage in STARTS},
        mean_total_seconds=math.fsum(totals) / len(totals),
        p95_total_seconds=float(np.quantile(totals, 0.95)),
    )
