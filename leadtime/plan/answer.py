"""A plan's figures as values: rows that were compared, the finalist's check, the months ahead, the next nines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from leadtime.plan.candidates import Candidate, Refused
from leadtime.plan.request import PlanRequest
from simulations.planning.growth import Span
from simulations.planning.held_out import Split
from simulations.planning.intervals import Interval, largest, method, ratio, spread
from simulations.planning.node_hours import HOURS_A_MONTH
from simulations.planning.spot_nodes import SpotShare

Figures = Mapping[str, Any]
"""Of one run over all of the demand: see `leadtime.plan.task`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A setting of a policy on a candidate. runs: its figures, one a seed. cap: maxReplicas.

    What it attains and costs is of the days or seeds that judge, and which setting is taken is decided on those that
    were searched; all else is of all runs and days. split: which are which.
    spot: where spot nodes were asked for. note: what to know of it, or empty.
    """

    candidate: Candidate
    policy: str
    place: float
    cap: int
    parameters: Mapping[str, str]
    runs: Sequence[Figures]
    spot: SpotShare | None = None
    note: str = ""
    split: Split = field(default_factory=Split)

    @property
    def attainment(self) -> Interval:
        return self._judged("good", "requests")

    @property
    def usd_per_month(self) -> Interval:
        """730 hours like those of the demand, spot where it was asked for."""
        return self._judged("node_hours", "hours").times(HOURS_A_MONTH * self.usd_per_node_hour)

    @property
    def searched_attainment(self) -> float:
        """On the days and seeds that the setting was searched on."""
        return self._searched("good", "requests")

    @property
    def searched_usd_per_month(self) -> float:
        return self._searched("node_hours", "hours") * HOURS_A_MONTH * self.usd_per_node_hour

    @property
    def searched_requests(self) -> float:
        """That came on the searched days of one seed, mean over the seeds."""
        requests = self.split.searched(self._days("requests"))
        return float(requests.sum() / len(requests))

    @property
    def usd_per_node_hour(self) -> float:
        """Of the mix of nodes."""
        if self.spot is None:
            return self.candidate.machine.usd_per_hour
        mean = float(np.mean([run["nodes"]["mean"] for run in self.runs]))
        return self.spot.usd_per_hour / mean

    @property
    def replicas(self) -> Interval:
        """Asked for, mean over the time."""
        return spread([run["replicas"]["mean"] for run in self.runs])

    @property
    def peak_replicas(self) -> Interval:
        return largest([run["replicas"]["peak"] for run in self.runs])

    @property
    def nodes(self) -> Interval:
        return spread([run["nodes"]["mean"] for run in self.runs])

    @property
    def peak_nodes(self) -> Interval:
        return largest([run["nodes"]["peak"] for run in self.runs])

    @property
    def lowest_nodes(self) -> int:
        """Never fewer in any run."""
        return min(int(run["nodes"]["lowest"]) for run in self.runs)

    @property
    def peak_gpus(self) -> Interval:
        """Of the nodes, whole machines, spot's spares included: what a quota counts."""
        spare = 0 if self.spot is None else self.spot.plans[max(self.spot.plans)].spare_nodes
        return self.peak_nodes.plus(spare).times(self.candidate.machine.gpus)

    @property
    def method(self) -> str:
        """What the intervals of attainment and cost are."""
        runs, days = self.split.judged(self._days("hours")).shape
        if self._is_lone:
            return f"{method(len(self.runs), days)}, the one that judges among them"
        return method(runs, days)

    @property
    def _is_lone(self) -> bool:
        """Whether a single run judges, of which no interval could be made."""
        return len(self.split.judged(self._days("hours"))) == 1 < len(self.runs)

    def _judged(self, part: str, whole: str) -> Interval:
        parts, wholes = self._days(part), self._days(whole)
        own = ratio(self.split.judged(parts), self.split.judged(wholes))
        if not self._is_lone:
            return own
        of_all = ratio(parts, wholes)
        return Interval(value=own.value, low=min(own.low, of_all.low), high=max(own.high, of_all.high))

    def _searched(self, part: str, whole: str) -> float:
        parts, wholes = (self.split.searched(self._days(name)) for name in (part, whole))
        return float(parts.sum() / wholes.sum())

    def _days(self, name: str) -> Any:
        return np.array([run["days"][name] for run in self.runs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A policy on a candidate that does not attain what was asked. text: what binds and by how much."""

    candidate: Candidate
    policy: str
    constraint: str
    text: str

    def __str__(self) -> str:
        return f"{self.candidate.name}, {self.policy}: {self.constraint}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A setting on the worst hour at both levels. attainment: of the hour.

    corrected: of all requests of the days that were searched, with the misses of the hour added to theirs.

    next_parameters: what was tried next, where it was not enough; None where it was.
    """

    row: Row
    requests: int
    count_attainment: float
    full_attainment: float
    count_gpu_hours: float
    full_gpu_hours: float
    corrected: float
    next_parameters: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The finalist's policy on the demand of a month from now. parameters: with which it attains what was asked."""

    month: int
    day: date
    factor: float
    replicas: Interval
    peak_replicas: Interval
    peak_gpus: Interval
    attainment: Interval
    usd_per_month: Interval
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nine:
    """What an attainment costs with the finalist's GPU and policy; None where no setting attains it."""

    level: float
    row: Row | None
    nearest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaAnswer:
    """needed_now, needed_then: GPUs at the peak, now and at the last month. quota: what there is; None: not known.

    binds_on: the day from which it no longer suffices; None where it does, or is not known.
    """

    gpu: str
    quota: int | None
    needed_now: Interval
    needed_then: Interval
    then: date
    binds_on: date | None

    @property
    def request(self) -> int:
        """GPUs to ask for: what the last month's peak took in the dearest run, or now's where demand shrinks."""
        return round(max(self.needed_now.high, self.needed_then.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The answer. rows: all that attain, cheapest first; the first is the finalist. best_hpa: the cheapest HPA's."""

    request: PlanRequest
    demand_name: str
    requests: float
    seconds: float
    hour: Span
    rows: Sequence[Row]
    missed: Sequence[Missed]
    refused: Sequence[Refused]
    checks: Sequence[Check]
    months: Sequence[Month]
    nines: Sequence[Nine]
    quota: QuotaAnswer

    @property
    def best(self) -> Row:
        return self.rows[0]

    def of(self, *prefixes: str) -> Row | None:
        """The cheapest row of a policy whose name begins so."""
        return next((row for row in self.rows if row.policy.startswith(prefixes)), None)
