"""Which part asks for how many replicas, and which of them decides: the largest.

While demand is known, its need counts, and metrics and schedules only ever add. While it is not known:

    for fallback.holdSeconds   the last need or the present count, whichever is larger; metrics and schedules may add,
                               so that what may be asked for widens upwards only
    from then on               the plain metrics alone, down as well, as the HPA without us; where none of them answers
                               the present count; fallback.replicas is a floor under either

Schedules are floors throughout. A part that cannot tell votes for the present count, as the HPA's rule for several
metrics has it: with one of them invalid the others may raise the count, never lower it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from policies.combined.spec import CombinedSpec, ScheduledFloor
from policies.combined.validation import hpa_spec
from policies.hpa.explanation import usage_words
from policies.hpa.metrics import MetricsResult
from policies.predictive.need import Need

Part = Literal["demand", "held demand", "metrics", "schedule", "fallback", "present count"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A part and how many replicas it asks for. words: why, as a part of a sentence."""

    part: Part
    replicas: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the parts know at one instant.

    present_replicas: asked for now. need: None while demand, or the sizes of requests, are unknown.
    unknown: why demand is not known; "" while it is. That of an idle workload is known, without a need, also while the
    sizes of its requests are not. unknown_seconds: since it was known. last_need_replicas: None where it never was.
    metrics: None without any. floor: of the schedules, None where none is in force.
    """

    present_replicas: int
    need: Need | None
    unknown: str
    unknown_seconds: float
    last_need_replicas: int | None
    metrics: MetricsResult | None
    floor: ScheduledFloor | None


def votes(spec: CombinedSpec, known: Known) -> tuple[Vote, ...]:
    """One or more; the one that decides comes first: the largest, and of equals in the order of `_votes`."""
    return tuple(sorted(_votes(spec, known), key=lambda vote: -vote.replicas))


def is_held(spec: CombinedSpec, known: Known) -> bool:
    """Whether the last need stands in for the unknown one."""
    return bool(known.unknown) and known.unknown_seconds < spec.fallback.hold_seconds


def _votes(spec: CombinedSpec, known: Known) -> Iterator[Vote]:
    metrics = known.metrics
    if known.need is not None:
        yield Vote(part="demand", replicas=known.need.replicas, words=known.need.words)
    elif is_held(spec, known) and known.last_need_replicas is not None:
        held = (
            f"its last need of {known.last_need_replicas} holds until {spec.fallback.hold_seconds:.0f} s, and may only "
            "be added to"
        )
        yield Vote(part="held demand", replicas=known.last_need_replicas, words=f"{_unknown(known)}: {held}")
    if metrics is not None and metrics.replicas is not None:
        yield Vote(part="metrics", replicas=metrics.replicas, words=_metrics_words(spec, metrics))
    if known.floor is not None:
        yield Vote(part="schedule", replicas=known.floor.min_replicas, words=_floor_words(known.floor))
    has_fallen_back = bool(known.unknown) and not is_held(spec, known)
    if has_fallen_back and spec.fallback.replicas is not None:
        words = f"{_unknown(known)}: fallback.replicas is the floor"
        yield Vote(part="fallback", replicas=spec.fallback.replicas, words=words)
    answers = metrics is not None and metrics.replicas is not None
    if known.need is None and not (has_fallen_back and answers):
        yield Vote(part="present count", replicas=known.present_replicas, words=_no_need(known))
    elif metrics is not None and metrics.replicas is None:
        words = f"a metric cannot tell, so nothing is scaled down: {metrics.error}"
        yield Vote(part="present count", replicas=known.present_replicas, words=words)


def _no_need(known: Known) -> str:
    if not known.unknown:
        return "no request of late to size replicas by, so nothing is scaled down"
    return f"{_unknown(known)}: nothing is scaled down"


def _unknown(known: Known) -> str:
    return f"{known.unknown} for {known.unknown_seconds:.0f} s"


def _metrics_words(spec: CombinedSpec, metrics: MetricsResult) -> str:
    asked = f"metrics ask for {metrics.replicas}"
    count = None if metrics.winner is None else metrics.counts[metrics.winner]
    if metrics.winner is None or count is None:
        return asked
    return f"{usage_words(hpa_spec(spec).metrics[metrics.winner], count)}: {asked}"


def _floor_words(floor: ScheduledFloor) -> str:
    span = f"{floor.start} to {floor.end}, {floor.time_zone}"
    return f"schedule {floor.name} asks for at least {floor.min_replicas} ({span})"
