"""Collects a run while it goes on, and turns it into a result."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from policies.decision import Decision
from simulations import latency_buckets
from simulations.conservation import check_conservation
from simulations.fleet import Fleet
from simulations.request_rows import Rows
from simulations.results.collector import Collector, Sink, collector_for
from simulations.results.fleet_readings import FleetTotals, fleet_accounts, fleet_totals, moment_of
from simulations.results.intervals import Intervals
from simulations.results.lifelines import Lifelines, RestartWatch, lifelines
from simulations.results.moment import Moment
from simulations.results.percentiles import Percentiles
from simulations.results.summary import Summary, summarize
from simulations.results.table import KeptRequests, RequestTable
from simulations.results.totals import RequestTotals
from simulations.scenario import Scenario


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Result:
    """A finished run. kept: its requests one by one, None where they were only counted.

    lifelines: of its pods and nodes, up to the last answer.
    """

    scenario: Scenario
    policy: str
    summary: Summary
    moments: tuple[Moment, ...]
    intervals: Intervals
    requests: RequestTotals
    kept: KeptRequests | None
    lifelines: Lifelines = field(default_factory=Lifelines)

    @property
    def arrival_seconds(self) -> NDArray[np.float64]:
        """Per request in order of arrival, as the three below; NaN where it never happened."""
        arrival: NDArray[np.float64] = self._kept().rows["arrival"]
        return arrival

    @property
    def ttft_seconds(self) -> NDArray[np.float64]:
        return self._kept().ttft_seconds

    @property
    def tpot_seconds(self) -> NDArray[np.float64]:
        return self._kept().tpot_seconds

    @property
    def good(self) -> NDArray[np.bool_]:
        return self._kept().good

    def _kept(self) -> KeptRequests:
        assert self.kept is not None, "requests were counted, not kept: give the recorder a RequestTable"
        return self.kept


class Recorder:
    """Takes finished requests and decisions as they come.

    collector: by default chosen by the size of the demand. file: where each request goes as well, such as a
    `parquet.RequestFile`; the caller closes it. max_replicas: of the policy, None where it has no bound.
    """

    def __init__(
        self,
        scenario: Scenario,
        policy: str,
        fleet: Fleet,
        *,
        collector: Collector | None = None,
        file: Sink | None = None,
        max_replicas: int | None = None,
    ) -> None:
        self.scenario = scenario
        self.policy = policy
        self.fleet = fleet
        self.max_replicas = max_replicas
        self.moments: list[Moment] = []
        self._restarts = RestartWatch()
        self._collector = collector or collector_for(scenario.trace.expected_requests, scenario.slo)
        self._file = file

    def record(self, decision: Decision) -> None:
        """Note a decision and the fleet as it left it."""
        self.moments.append(moment_of(self.fleet, decision))
        self._restarts.look((*self.fleet.prefill_pods, *self.fleet.existing()))

    def take(self, piece: Rows) -> None:
        """Take requests that are over, each once; the caller may reuse the memory."""
        self._collector.add(piece)
        if self._file is not None:
            self._file.add(piece)

    def result(self) -> Result:
        """The run as it stands; meant for its end. What does not add up raises AssertionError."""
        accounts = fleet_accounts(self.fleet, self.scenario)
        for piece in self.fleet.engine.take_rest():
            self.take(piece)
        requests = self._collector.totals()
        check_conservation(requests, accounts)
        replicas = [self.scenario.initial_replicas, *(moment.replicas for moment in self.moments)]
        fleet = fleet_totals(self.fleet, self.scenario)
        return Result(
            scenario=self.scenario,
            policy=self.policy,
            summary=summarize(
                self.policy,
                requests,
                fleet,
                _itl(fleet),
                seconds=self.scenario.trace.duration_seconds,
                rescales=sum(after != before for before, after in pairwise(replicas)),
            ),
            moments=tuple(self.moments),
            intervals=self._collector.intervals(),
            requests=requests,
            kept=self._collector.kept() if isinstance(self._collector, RequestTable) else None,
            lifelines=lifelines(self.fleet, self._restarts.by_pod),
        )


def _itl(fleet: FleetTotals) -> Percentiles:
    counts = fleet.itl_counts
    if counts is None:
        return Percentiles.of_nothing()
    return Percentiles.of_counts(counts, latency_buckets.mean(counts))
