"""What a planner asks: demand, promise, candidates, growth and limits, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from policies.errors import BadInput
from simulations.lead_time import LeadTime
from simulations.slo import SLO

DEFAULT_POLICIES = ("leadtime", "hpa-total-demand", "hpa-batch-size", "keda-scaledobject", "static")
LEVELS = (0.95, 0.99, 0.995, 0.999)
"""Attainments of the frontier: what the next nine costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotWanted:
    """How spot nodes are lost; what they cost is in the price table. Rates per hour."""

    preemptions_per_node_hour: float
    zone_events_per_hour: float = 0.0
    zones: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """One question. Raises BadInput.

    demand: as docs/reference/demand.md. days: its first ones only; None for all.
    model, gpus: candidates MODEL-GPU[-tpN]; profiles: further ones, names or YAML files.
    machines: GPU's short name -> machine type, where the cheapest is not wanted. region: None for each machine's own.
    attainment: share of requests that is to meet the SLO, in [0.5, 0.9999].
    growth: factor on all of the demand; peak_factor: on its busiest hour besides.
    lead_time: of a pod on a new node. quota: GPU's short name -> GPUs; none where nobody knows.
    max_replicas: of every policy; None for twice what the busiest five minutes need.
    seeds: of lead times, noise and what is drawn of the demand; the first is searched with.
    months, growth_per_month: how far ahead, and the factor from each month to the next. start: the day of month 0.
    today: the day on which it is asked, by which prices are old; None for start.
    target: Kind/name of the workload, for the manifests.
    """

    demand: str
    model: str | None
    gpus: tuple[str, ...]
    profiles: tuple[str, ...]
    slo: SLO
    attainment: float
    policies: tuple[str, ...]
    lead_time: LeadTime
    days: float | None = None
    growth: float = 1.0
    peak_factor: float = 1.0
    quota: Mapping[str, int]
    machines: Mapping[str, str]
    spot: SpotWanted | None = None
    prices: Path | None = None
    region: str | None = None
    min_replicas: int = 1
    max_replicas: int | None = None
    seeds: tuple[int, ...] = (1, 2, 3)
    months: int = 6
    growth_per_month: float = 1.0
    start: date
    today: date | None = None
    target: str = "Deployment/vllm"

    def __post_init__(self) -> None:
        for name, value, low, high, remedy in (
            ("attainment", self.attainment, 0.5, 0.9999, "it is a share, not percent; 1 would need endless capacity"),
            ("days", 1.0 if self.days is None else self.days, 0.02, 400.0, "state days of the demand"),
            ("growth", self.growth, 1e-4, 1_000.0, "1.5 is half as much again"),
            ("peak-factor", self.peak_factor, 1.0, 100.0, "1.3 makes the busiest hour 30 % busier"),
            ("months", self.months, 0, 60, "state whole months"),
            ("growth-per-month", self.growth_per_month, 0.5, 3.0, "1.1 is 10 % a month"),
            ("min-replicas", self.min_replicas, 1, 100_000, "at zero, requests would be lost for a lead time"),
            ("max-replicas", self._most_replicas, self.min_replicas, 100_000, "raise it"),
            ("seeds", len(self.seeds), 1, 50, "give 1 to 50 of them"),
        ):
            if not low <= value <= high:
                raise BadInput(f"--{name}: was {value:g}, must be in [{low:g}, {high:g}]; {remedy}")
        if not self.profiles and not (self.model and self.gpus):
            raise BadInput("--model and --gpus: were not given; name a model and candidate GPUs, or a --profile")
        if len(set(self.seeds)) < len(self.seeds):
            raise BadInput(f"--seeds: was {','.join(map(str, self.seeds))}, must differ; remove what is there twice")

    @property
    def _most_replicas(self) -> int:
        return self.min_replicas if self.max_replicas is None else self.max_replicas

    @property
    def lead_seconds(self) -> float:
        """The median from ask to ready on a new node."""
        return self.lead_time.start_median_seconds + self.lead_time.load_median_seconds
