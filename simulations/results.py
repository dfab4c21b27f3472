"""What a run gave: per request, per sync, and in one line."""

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from policies.decision import Decision
from simulations import engine
from simulations.fleet import Fleet
from simulations.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The fleet right after one sync's decision. running and waiting are requests, the rest replicas."""

    second: float
    replicas: int
    ready_replicas: int
    starting_replicas: int
    running: int
    waiting: int
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One row of the table. Names carry the units; docs/reference/json.md describes each."""

    policy: str
    requests: int
    rejected_requests: int
    slo_attainment: float
    goodput_requests_per_second: float
    ttft_p50_seconds: float
    ttft_p99_seconds: float
    tpot_p50_seconds: float
    tpot_p99_seconds: float
    gpu_hours: float
    cost_usd: float
    rescales: int
    preemptions: int

    def as_dict(self) -> dict[str, float | int | str]:
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A finished run. Arrays have one entry a request, in order of arrival; NaN where it never happened."""

    scenario: Scenario
    policy: str
    arrival_seconds: NDArray[np.float64]
    ttft_seconds: NDArray[np.float64]
    tpot_seconds: NDArray[np.float64]
    good: NDArray[np.bool_]
    moments: tuple[Moment, ...]
    summary: Summary


class Recorder:
    """Collects a run's moments, and turns the finished fleet into a result."""

    def __init__(self, scenario: Scenario, policy: str, fleet: Fleet) -> None:
        self.scenario = scenario
        self.policy = policy
        self.fleet = fleet
        self.moments: list[Moment] = []

    def record(self, decision: Decision) -> None:
        """Note a decision and the fleet as it left it."""
        fleet, rows = self.fleet, [pod.row for pod in self.fleet.existing()]
        ready = sum(fleet.is_ready(pod) for pod in fleet.existing())
        self.moments.append(
            Moment(
                second=fleet.now_seconds,
                replicas=fleet.replicas,
                ready_replicas=ready,
                starting_replicas=fleet.replicas - ready,
                running=int(fleet.servers.state.running[rows].sum()),
                waiting=int(fleet.servers.state.waiting[rows].sum()) + fleet.gateway_queue,
                decision=decision,
            )
        )

    def result(self) -> Result:
        """The run as it stands; meant for its end."""
        requests = self.fleet.requests
        ttft = requests.first_token - requests.arrival
        with np.errstate(invalid="ignore", divide="ignore"):
            tpot = np.where(
                requests.output_tokens > 1,
                (requests.finish - requests.first_token) / (requests.output_tokens - 1),
                np.nan,
            )
        good = self.scenario.slo.met(ttft, tpot)
        return Result(
            self.scenario,
            self.policy,
            requests.arrival,
            ttft,
            tpot,
            good,
            tuple(self.moments),
            self._summary(ttft, tpot, good),
        )

    def _summary(self, ttft: NDArray[np.float64], tpot: NDArray[np.float64], good: NDArray[np.bool_]) -> Summary:
        """Percentiles are over answered requests; attainment is over all. The bill ends with the trace."""
        horizon = self.scenario.trace.duration_seconds
        gpu_hours = self.fleet.gpu_seconds(horizon) / 3600
        return Summary(
            policy=self.policy,
            requests=len(good),
            rejected_requests=int((self.fleet.requests.outcome == engine.REJECTED).sum()),
            slo_attainment=float(good.mean()),
            goodput_requests_per_second=float(good.sum() / horizon) if horizon > 0 else float("nan"),
            ttft_p50_seconds=_percentile(ttft, 50),
            ttft_p99_seconds=_percentile(ttft, 99),
            tpot_p50_seconds=_percentile(tpot, 50),
            tpot_p99_seconds=_percentile(tpot, 99),
            gpu_hours=gpu_hours,
            cost_usd=gpu_hours * self.scenario.price_per_gpu_hour,
            rescales=sum(
                after != before
                for before, after in pairwise(
                    [self.scenario.initial_replicas, *(moment.replicas for moment in self.moments)]
                )
            ),
            preemptions=int(self.fleet.servers.state.preemptions.sum()),
        )


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.percentile(known, percent)) if len(known) else float("nan")
