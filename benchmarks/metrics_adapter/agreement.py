"""Before anything is timed: every side gives the same, right values, of samples whose age is what it says."""

import calendar
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metrics_adapter.fleet import EVERY_POD, Fleet, external_target, pods_target, value
from metrics_adapter.prometheus import Prometheus
from metrics_adapter.sides import Answered, AnswerRefused, Side

METRIC = "vllm:num_requests_waiting"
NOW_TOLERANCE_SECONDS = 2.0
"""Of a timestamp that is the moment of the answer: whole seconds, and the answer's own time."""
_LOOKBACK_SECONDS = 30


class Disagreement(AnswerRefused):
    """A side gave a wrong value or a wrong time: says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was compared. values: how many, all equal to the pods' own. told_age_seconds, true_age_seconds: medians of
    what the answers' timestamps say, and of the samples behind them (a sum is as old as its oldest part).
    """

    values: int
    told_age_seconds: float
    true_age_seconds: float


def check(side: Side, fleet: Fleet, generation: int, prometheus: Prometheus) -> Agreement:
    """Ask for every workload's External and Pods metric as the HPA does. Raises Disagreement.

    A side that stamps samples must give each pod's value the time of a sample that Prometheus has of that very pod
    with that very value, to the second that the API carries. The others stamp the moment of the answer: within
    NOW_TOLERANCE_SECONDS.
    """
    compared, told, true = 0, [], []
    for workload in range(fleet.workloads):
        expected = expected_milli(fleet, fleet.selected(workload), generation)
        selector = fleet.selector(workload)
        target = side.external(workload) if side.external else external_target(fleet.namespace, METRIC, selector)
        answers = [(answer := side.ask(target), [_pod_of(item) for item in answer.items])]
        if answer.total_milli != sum(expected.values()):
            raise Disagreement(f"{side.name}: {target}: {answer.total_milli} m, must be {sum(expected.values())} m")
        compared += len(expected)
        if side.serves_pods:
            target = pods_target(fleet.namespace, METRIC, selector)
            answers.append((answer := side.ask(target), [item["describedObject"]["name"] for item in answer.items]))
            _must_equal(side, target, answer, expected)
            compared += len(expected)
        samples = prometheus.samples(METRIC, _LOOKBACK_SECONDS)
        for answer, pods in answers:
            for item, pod in zip(answer.items, pods, strict=True):
                told.append(_told_age(side, item, answer, samples.get(pod or "", ()), expected.get(pod or "")))
                oldest = min(samples[name][-1][0] for name in ([pod] if pod else expected))
                true.append(told[-1] if side.stamps_samples else answer.at - oldest)
    if side.serves_pods:
        expected = expected_milli(fleet, range(fleet.pods), generation)
        target = pods_target(fleet.namespace, METRIC, EVERY_POD)
        _must_equal(side, target, side.ask(target), expected)
        compared += len(expected)
    return Agreement(
        values=compared, told_age_seconds=statistics.median(told), true_age_seconds=statistics.median(true)
    )


def expected_milli(fleet: Fleet, pods: Sequence[int], generation: int) -> Mapping[str, int]:
    """Pod -> thousandths of the metric, by the pods' own pages."""
    return {fleet.name(pod): round(value(METRIC, pod, generation) * 1000) for pod in pods}


def seconds_since_epoch(timestamp: str) -> int:
    return calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ"))


def _must_equal(side: Side, target: str, answer: Answered, expected: Mapping[str, int]) -> None:
    if answer.by_object != expected:
        wrong = {name: got for name, got in answer.by_object.items() if expected.get(name) != got}
        missing = [name for name in expected if name not in answer.by_object]
        raise Disagreement(f"{side.name}: {target}: wrong {dict(list(wrong.items())[:3])}, missing {missing[:3]}")


def _pod_of(item: Mapping[str, Any]) -> str | None:
    """Whose value an External item is; None for a sum over several."""
    pod = item["metricLabels"].get("pod") if item["metricLabels"] else None
    return str(pod) if pod else None


def _told_age(
    side: Side,
    item: Mapping[str, Any],
    answer: Answered,
    samples: Sequence[tuple[float, float]],
    expected_milli: int | None,
) -> float:
    told = seconds_since_epoch(str(item["timestamp"]))
    if not side.stamps_samples:
        if abs(answer.at - told) > NOW_TOLERANCE_SECONDS:
            raise Disagreement(f"{side.name}: stamped {told}, which is not the moment of the answer, {answer.at:.1f}")
        return answer.at - told
    times = {int(at) for at, number in samples if round(number * 1000) == expected_milli}
    if told not in times:
        raise Disagreement(f"{side.name}: stamped {told}; the samples of that value are of {sorted(times)}")
    return answer.at - told
