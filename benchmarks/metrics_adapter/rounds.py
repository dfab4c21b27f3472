"""The timing: sides in turn, one at a time, the others paused."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from metrics_adapter.agreement import seconds_since_epoch
from metrics_adapter.load import Client, Load
from metrics_adapter.processes import Group, Usage
from metrics_adapter.prometheus import SCRAPE_INTERVAL_SECONDS
from metrics_adapter.sides import Side

MAX_AGE_SECONDS = 3 * SCRAPE_INTERVAL_SECONDS
"""Beyond it an answer is stale: a scrape interval, a collection interval of the same length, and one for the rest."""
_FRESH_SECONDS = 1.5 * SCRAPE_INTERVAL_SECONDS
_SETTLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is asked for. targets: of each side by name, asked for in turn; sides that are not in it sit this out."""

    name: str
    targets: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One side's turn. CPU seconds of its processes, of Prometheus and of the API server over `seconds`.

    others_cores: what programs that are not the benchmark's used meanwhile.
    """

    load: Load
    seconds: float
    cpu_seconds: float
    prometheus_cpu_seconds: float
    api_server_cpu_seconds: float
    others_cores: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What runs beside the sides. ours: every group that the benchmark has started."""

    prometheus: Group
    api_server: Group
    ours: Sequence[Group]


@dataclass(slots=True, kw_only=True)
class Result:
    """All turns of one side in one case. idle: CPU seconds a second of Prometheus and API server with all paused."""

    side: str
    case: str
    rounds: list[Round] = field(default_factory=list)
    idle_prometheus: float = 0.0
    idle_api_server: float = 0.0

    @property
    def answers(self) -> int:
        return sum(one.load.requests for one in self.rounds)

    @property
    def faults(self) -> int:
        """Answers that were not 2xx, or stale."""
        return sum(one.load.faults for one in self.rounds)

    def median(self, read: Callable[[Load], float]) -> float:
        return statistics.median(read(one.load) for one in self.rounds)

    def spread(self, read: Callable[[Load], float]) -> tuple[float, float]:
        values = [read(one.load) for one in self.rounds]
        return min(values), max(values)

    @property
    def own_cpu_per_answer(self) -> float:
        """Seconds, of the side's own processes."""
        return sum(one.cpu_seconds for one in self.rounds) / self.answers

    @property
    def prometheus_cpu_per_answer(self) -> float:
        """Seconds that Prometheus spent more than when idle."""
        return self._caused(lambda one: one.prometheus_cpu_seconds, self.idle_prometheus)

    @property
    def api_server_cpu_per_answer(self) -> float:
        """Seconds that the API server spent more than when idle."""
        return self._caused(lambda one: one.api_server_cpu_seconds, self.idle_api_server)

    @property
    def cpu_per_answer(self) -> float:
        """Seconds, the Prometheus CPU that it causes included."""
        return self.own_cpu_per_answer + self.prometheus_cpu_per_answer

    def _caused(self, read: Callable[[Round], float], idle: float) -> float:
        busy = sum(read(one) - idle * one.seconds for one in self.rounds)
        return max(0.0, busy) / self.answers


def run_case(
    case: Case,
    sides: Sequence[Side],
    *,
    client: Client,
    around: Around,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Result]:
    """A B C idle A B C idle ...: each side's result. All sides are paused before and after."""
    taking_part = [side for side in sides if side.name in case.targets]
    results = {side.name: Result(side=side.name, case=case.name) for side in taking_part}
    idle: list[tuple[Usage, Usage]] = []
    for number in range(rounds):
        for side in taking_part:
            one = _turn(side, case.targets[side.name], client, around, seconds)
            results[side.name].rounds.append(one)
        before = Usage.now()
        time.sleep(seconds)
        idle.append((before, Usage.now()))
        told = ", ".join(f"{name} {result.rounds[-1].load.per_second:,.0f}" for name, result in results.items())
        tell(f"  {case.name}, round {number + 1} of {rounds}: {told} answers/s")
    wall = sum(late.at - early.at for early, late in idle)
    for result in results.values():
        result.idle_prometheus = sum(_spent(*pair, around.prometheus) for pair in idle) / wall
        result.idle_api_server = sum(_spent(*pair, around.api_server) for pair in idle) / wall
    return list(results.values())


def _turn(side: Side, targets: Sequence[str], client: Client, around: Around, seconds: float) -> Round:
    side.go_on()
    try:
        if not side.answers_fixed:
            side.wait_until(lambda: _fresh(side, targets[0]), "answers with fresh samples after a pause")
        time.sleep(_SETTLE_SECONDS)
        early = Usage.now()
        age = 0 if side.answers_fixed else MAX_AGE_SECONDS
        load = client.run(side.port, targets, seconds=seconds, max_age_seconds=age)
        late = Usage.now()
    finally:
        side.pause()
    return Round(
        load=load,
        seconds=late.at - early.at,
        cpu_seconds=_spent(early, late, *side.groups),
        prometheus_cpu_seconds=_spent(early, late, around.prometheus),
        api_server_cpu_seconds=_spent(early, late, around.api_server),
        others_cores=late.others_since(early, around.ours),
    )


def _spent(early: Usage, late: Usage, *groups: Group) -> float:
    return late.of(groups) - early.of(groups)


def _fresh(side: Side, target: str) -> bool:
    answer = side.ask(target)
    times = [seconds_since_epoch(str(item["timestamp"])) for item in answer.items]
    return bool(times) and answer.at - min(times) <= _FRESH_SECONDS
