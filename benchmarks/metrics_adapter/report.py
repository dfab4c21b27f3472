"""The tables, and which targets are met."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from metrics_adapter.agreement import Agreement
from metrics_adapter.rounds import Result
from metrics_adapter.scale import REQUESTS_PER_SECOND, TARGET_P99_SECONDS, TARGET_RESIDENT_MB, Scale

OURS, PEER = "leadtime", "prometheus-adapter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One ratio of ours to the peer's. at_least: whether it must be at least the bound, else at most."""

    name: str
    ratio: float
    bound: float
    at_least: bool
    goal: float | None = None

    @property
    def met(self) -> bool:
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    def text(self) -> str:
        said = f"{self.ratio:.1f} x" if self.at_least else f"1/{1 / self.ratio:.1f}" if self.ratio else "0"
        bound = f">= {self.bound:g} x" if self.at_least else f"<= 1/{1 / self.bound:g}"
        goal = f"; goal {self.goal:g} x: {'reached' if self.ratio >= self.goal else 'not reached'}" if self.goal else ""
        return f"  {self.name:46s} {said:>10s}   target {bound}: {'met' if self.met else 'MISSED'}{goal}"


def targets(results: Sequence[Result]) -> list[Target]:
    """The ratios that issue 7 names, as far as the peer took part."""
    by_case: dict[str, dict[str, Result]] = {}
    for one in results:
        by_case.setdefault(one.case, {})[one.side] = one
    found: list[Target] = []
    for case, of in by_case.items():
        if OURS not in of or PEER not in of:
            continue
        ours, peer = of[OURS], of[PEER]
        rate = ours.median(lambda load: load.per_second) / peer.median(lambda load: load.per_second)
        if case.startswith("External"):
            found.append(Target(name=f"{case}: requests/s", ratio=rate, bound=5, at_least=True, goal=10))
        else:
            found.append(Target(name=f"{case}: requests/s", ratio=rate, bound=100, at_least=True))
        p99 = ours.median(lambda load: load.p99) / peer.median(lambda load: load.p99)
        found.append(Target(name=f"{case}: p99", ratio=p99, bound=0.25, at_least=False))
        cpu = ours.cpu_per_answer / peer.cpu_per_answer
        found.append(Target(name=f"{case}: CPU an answer, with Prometheus'", ratio=cpu, bound=0.2, at_least=False))
    return found


def result_lines(results: Sequence[Result]) -> Iterator[str]:
    """One table a case: medians, with the smallest and largest round beside."""
    case = ""
    for one in results:
        if one.case != case:
            case = one.case
            yield f"\n{case}"
            yield (
                f"  {'':20s} {'requests/s':>26s} {'p50 ms':>8s} {'p99 ms':>22s} "
                f"{'CPU us/answer':>14s} {'own':>7s} {'Prometheus':>11s} {'API server':>11s}"
            )
        low, high = one.spread(lambda load: load.per_second)
        p99_low, p99_high = one.spread(lambda load: load.p99)
        rate = f"{one.median(lambda load: load.per_second):,.0f} ({low:,.0f} to {high:,.0f})"
        p99 = f"{one.median(lambda load: load.p99) * 1e3:,.1f} ({p99_low * 1e3:,.1f} to {p99_high * 1e3:,.1f})"
        yield (
            f"  {one.side:20s} {rate:>26s} {one.median(lambda load: load.p50) * 1e3:8.2f} {p99:>22s} "
            f"{one.cpu_per_answer * 1e6:14,.0f} {one.own_cpu_per_answer * 1e6:7,.0f} "
            f"{one.prometheus_cpu_per_answer * 1e6:11,.0f} {one.api_server_cpu_per_answer * 1e6:11,.0f}"
            + (f"   {one.faults} FAULTS" if one.faults else "")
        )
    others = [turn.others_cores for one in results for turn in one.rounds]
    if others:
        yield (
            f"\n  programs that are not ours used {statistics.median(others):.1f} cores meanwhile "
            f"({min(others):.1f} to {max(others):.1f})"
        )


def agreement_lines(agreements: Mapping[str, Agreement]) -> Iterator[str]:
    for name, one in agreements.items():
        yield (
            f"  {name:20s} {one.values:,} values equal the pods' own; age told {one.told_age_seconds:.1f} s, "
            f"of the samples {one.true_age_seconds:.1f} s (medians)"
        )


def scale_lines(scales: Sequence[Scale]) -> Iterator[str]:
    for one in scales:
        yield (
            f"  {one.source:12s} memory {one.peak_resident_mb:.0f} MB at most, {one.resident_mb:.0f} MB after "
            f"(target {TARGET_RESIDENT_MB:.0f}); p50 {one.load.p50 * 1e3:.2f}, p99 {one.load.p99 * 1e3:.1f} ms "
            f"(target {TARGET_P99_SECONDS * 1e3:.0f}), p99.9 {one.load.p999 * 1e3:.1f}, max {one.load.max * 1e3:.1f}; "
            f"{one.load.requests:,} requests at {one.load.per_second:.0f}/s of {REQUESTS_PER_SECOND:.0f}/s; "
            f"{one.cores:.2f} cores, programs that are not ours {one.others_cores:.2f}; ready to run without a core "
            f"{one.waited:.1%} of the time"
        )


@dataclass(slots=True, kw_only=True)
class Figures:
    """All that a run has measured."""

    machine: Mapping[str, object]
    versions: Mapping[str, str] = field(default_factory=dict)
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    scales: list[Scale] = field(default_factory=list)

    @property
    def ratios(self) -> list[Target]:
        return targets(self.results)

    @property
    def faults(self) -> int:
        """Answers that were not 2xx, or stale, of anybody."""
        return sum(one.faults for one in self.results) + sum(one.load.faults for one in self.scales)

    @property
    def missed(self) -> list[str]:
        """Targets that were not reached."""
        return [one.name for one in self.ratios if not one.met] + [text for one in self.scales for text in one.missed]

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "agreement": {name: asdict(one) for name, one in self.agreements.items()},
            "results": [_result_as_json(one) for one in self.results],
            "targets": [{**asdict(one), "met": one.met} for one in self.ratios],
            "scale": [{**asdict(one), "load": one.load.as_json(), "missed": one.missed} for one in self.scales],
        }


def _result_as_json(one: Result) -> dict[str, Any]:
    return {
        "side": one.side,
        "case": one.case,
        "cpu_seconds_per_answer": one.cpu_per_answer,
        "own_cpu_seconds_per_answer": one.own_cpu_per_answer,
        "prometheus_cpu_seconds_per_answer": one.prometheus_cpu_per_answer,
        "api_server_cpu_seconds_per_answer": one.api_server_cpu_per_answer,
        "rounds": [{**turn.load.as_json(), "others_cores": turn.others_cores} for turn in one.rounds],
    }
