"""`spec` of a PredictiveAutoscaler, in the HPA's own words where it has them. Of it the CRD is made."""

from typing import Literal

from pydantic import Field, field_validator

from autoscaler.crd.behavior import Behavior
from autoscaler.crd.metrics import Metric
from autoscaler.crd.names import LIST_MAP_BY_NAME, DnsLabel, DnsSubdomain, Entry, Kind, unique_names
from autoscaler.crd.node_pool import GkePool, NodePool, Placeholders, Spot
from autoscaler.crd.rule import Rule
from autoscaler.crd.section import CrdSection
from policies import cron
from policies.errors import BadInput
from policies.nodepools.deletion_cost import PodDeletionCost

__all__ = [
    "Behavior",
    "Cost",
    "Fallback",
    "GkePool",
    "LeadTime",
    "Metric",
    "Mode",
    "NodePool",
    "Placeholders",
    "PredictiveAutoscalerSpec",
    "ScaleTargetRef",
    "Schedule",
    "Slo",
    "Spot",
]

Mode = Literal["Recommend", "Metric", "Floor", "Direct"]


class ScaleTargetRef(CrdSection):
    """The workload: anything with a scale subresource, in the same namespace. It may be changed: from then on the new
    one is scaled, and the old one stays as it is."""

    api_version: str = Field(
        "apps/v1", min_length=1, max_length=317, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]+$"
    )
    """Its API version. apps/v1 by default: Deployment and StatefulSet."""
    kind: Kind
    """Its kind: Deployment, StatefulSet, LeaderWorkerSet or any other that has a scale subresource."""
    name: DnsSubdomain
    """Its name."""


class Slo(CrdSection):
    """What users were promised, and how many requests must get it."""

    ttft_seconds: float = Field(2.0, ge=0.001, le=3600.0)
    """Time to the first token, seconds, 0.001 to 3600. 2 by default: a reader waits no longer before an answer
    starts."""
    tpot_seconds: float = Field(ge=0.001, le=60.0)
    """Mean time per output token after the first, seconds, 0.001 to 60; above what one request alone takes on this
    model and GPU. 0.075 is 13 tokens a second."""
    attainment: float = Field(0.95, ge=0.5, le=0.9999)
    """Share of requests that must meet both, 0.5 to 0.9999. 0.95 by default; it is what replicas are bought for."""


class Cost(CrdSection):
    """What a replica costs, for status, metrics and the page; it does not change a decision."""

    gpus_per_replica: int = Field(1, ge=1, le=64)
    """GPUs of one replica, 1 to 64."""
    price_per_gpu_hour: float | None = Field(None, ge=0.001, le=10_000.0)
    """Price of one GPU for an hour, 0.001 to 10,000, in any currency. Not given: no cost is shown."""


class LeadTime(CrdSection):
    """How long a replica takes from being asked for to serving."""

    assumed_seconds: float = Field(240.0, ge=1.0, le=7200.0)
    """Seconds, 1 to 7200; held until pods of this workload were seen to become ready. 240 by default: a node, an image
    and a model of common size."""


def _five_fields(name: str) -> Rule:
    """The part of what a cron expression must be that CEL can tell; the rest is `cron.parse`'s."""
    return Rule(
        field=name,
        cel=rf"self.{name}.matches('^\\s*\\S+(\\s+\\S+){{4}}\\s*$')",
        holds=lambda self: len(getattr(self, name).split()) == 5,
        message=f"was '{{{name}}}', must have 5 fields (minute hour day-of-month month day-of-week); write 0 8 * * *",
    )


class Schedule(CrdSection):
    """A floor at stated times: at least `minReplicas` from each time of `start` to the next of `end`."""

    rules = (
        _five_fields("start"),
        _five_fields("end"),
        Rule(
            field="end",
            cel="self.start != self.end",
            holds=lambda self: self.start != self.end,
            message="was {end}, must differ from start; say when the floor ends",
        ),
    )

    name: DnsLabel
    """What messages and the page call it; unique here."""
    start: str = Field(min_length=1, max_length=200)
    """When the floor begins: a cron expression of five fields, `0 8 * * mon-fri`. It must hold when the replicas have
    to serve; they are asked for then, so begin it a lead time before."""
    end: str = Field(min_length=1, max_length=200)
    """When it ends: a cron expression of five fields, `0 20 * * mon-fri`."""
    time_zone: str = Field("UTC", min_length=1, max_length=64, pattern=r"^[A-Za-z][-+A-Za-z0-9_/]*$")
    """The zone of both, a name of the IANA database such as Europe/Berlin, with its daylight saving. UTC by default."""
    min_replicas: int = Field(ge=1, le=100_000)
    """Never fewer replicas in that time, 1 to maxReplicas."""

    @field_validator("start", "end")
    @classmethod
    def _comes(cls, text: str) -> str:
        cron.parse(text)
        return text

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, text: str) -> str:
        try:
            cron.time_zone(text)
        except BadInput as error:
            raise BadInput(str(error).removeprefix("timeZone: ")) from error  # its path is told anyway
        return text


class Fallback(CrdSection):
    """What holds while demand is not known. Nothing is scaled down for not knowing."""

    hold_seconds: float = Field(300.0, ge=0.0, le=86_400.0)
    """Seconds for which the last known need is held, 0 to 86,400; meanwhile `metrics` may only add. Then `metrics`
    alone decide, down as well; without any that answers, the present count stays. Schedules hold throughout. 300 by
    default: as long as an HPA looks back."""
    replicas: int | None = Field(None, ge=1, le=100_000)
    """After holdSeconds never fewer than this, 1 to maxReplicas. Not given: no such floor."""


_LOW_SCHEDULE = "self.schedules.filter(each, each.minReplicas > self.maxReplicas)[0]"


class PredictiveAutoscalerSpec(CrdSection):
    """How one workload is scaled: for the demand that will be there when the capacity arrives."""

    rules = (
        Rule(
            field="minReplicas",
            cel="self.minReplicas <= self.maxReplicas",
            holds=lambda self: self.min_replicas <= self.max_replicas,
            message="was {minReplicas}, must be at most maxReplicas ({maxReplicas}); lower it or raise maxReplicas",
        ),
        Rule(
            field="schedules",
            cel="!has(self.schedules) || self.schedules.all(each, each.minReplicas <= self.maxReplicas)",
            holds=lambda self: not _above_max(self),
            message="minReplicas of {name} was {floor}, must be at most maxReplicas ({maxReplicas}); lower it or raise "
            "maxReplicas",
            values={
                "name": (f"{_LOW_SCHEDULE}.name", lambda self: _above_max(self)[0].name),
                "floor": (f"{_LOW_SCHEDULE}.minReplicas", lambda self: _above_max(self)[0].min_replicas),
            },
        ),
        Rule(
            field="fallback.replicas",
            cel="!has(self.fallback.replicas) || self.fallback.replicas <= self.maxReplicas",
            holds=lambda self: self.fallback.replicas is None or self.fallback.replicas <= self.max_replicas,
            message="was {fallback.replicas}, must be at most maxReplicas ({maxReplicas}); lower it or raise "
            "maxReplicas",
        ),
        Rule(
            field="podDeletionCost",
            cel="self.podDeletionCost == 'Unset' || (has(self.nodePools) && self.nodePools.size() > 0)",
            holds=lambda self: self.pod_deletion_cost == "Unset" or bool(self.node_pools),
            message="was {podDeletionCost}, must be Unset without nodePools, which say what nodes cost; name the node "
            "pools or leave it out",
        ),
        Rule(
            field="podDeletionCost",
            cel="self.podDeletionCost == 'Unset' || !(self.scaleTargetRef.kind in ['StatefulSet', 'LeaderWorkerSet'])",
            holds=lambda self: (
                self.pod_deletion_cost == "Unset"
                or self.scale_target_ref.kind not in ("StatefulSet", "LeaderWorkerSet")
            ),
            message="was {podDeletionCost}, must be Unset for a {scaleTargetRef.kind}, whose pods go by their index; "
            "leave it out",
        ),
    )

    mode: Mode = "Recommend"
    """What is written. Recommend (the default): nothing but status, events and metrics. Metric: the need is published,
    and an HPA takes the larger of it and its own. Floor: the HPA's minReplicas. Direct: the workload's replicas. It may
    be changed at any time."""
    paused: bool = False
    """true: nothing is written, whatever the mode; what would be is still shown."""
    scale_target_ref: ScaleTargetRef
    min_replicas: int = Field(1, ge=1, le=100_000)
    """Never fewer replicas, 1 to maxReplicas. 1 by default: at zero, requests would be lost for a lead time. A
    workload that somebody set to 0 replicas stays at 0."""
    max_replicas: int = Field(ge=1, le=100_000)
    """Never more replicas, 1 to 100,000. Required: it is what a mistake can cost."""
    profile: str = Field(min_length=1, max_length=200)
    """Latency profile of model and GPU, which gives a replica's capacity: MODEL-GPU, or MODEL-GPU-tpN on N GPUs, such
    as llama-3.1-8b-l4. docs/reference/profiles.md lists them."""
    slo: Slo
    cost: Cost = Cost()
    lead_time: LeadTime = LeadTime()
    drain_seconds: float = Field(60.0, ge=1.0, le=3600.0)
    """Requests that wait are to be gone within so many seconds, 1 to 3600. 60 by default; shorter asks for more
    replicas after a jump."""
    metrics: tuple[Metric, ...] = Field((), strict=False, max_length=20)
    """Metrics to hold besides, as in an HPA, up to 20. They only ever add replicas, or decide alone while demand is not
    known."""
    behavior: Behavior = Behavior()
    schedules: tuple[Schedule, ...] = Field((), strict=False, max_length=50, json_schema_extra=LIST_MAP_BY_NAME)
    """Floors at stated times, up to 50, for what no past shows: a launch, a sale."""
    fallback: Fallback = Fallback()
    node_pools: tuple[NodePool, ...] = Field((), strict=False, max_length=20, json_schema_extra=LIST_MAP_BY_NAME)
    """Pools of nodes that are told ahead of the pods, up to 20; in mode Recommend none is told. None by default: pods
    bring their nodes."""
    pod_deletion_cost: PodDeletionCost = "Unset"
    """Which pods a scale-down takes, whoever scales. Unset (the default): Kubernetes' own choice. ByNode: pods on
    on-demand nodes beyond onDemandBaseShare go first, then those on nodes with the fewest pods, so that the node
    autoscaler can remove nodes: the annotation controller.kubernetes.io/pod-deletion-cost is kept on pods where nodes
    differ. For Deployments and what else has ReplicaSets; it needs nodePools. In mode Recommend nothing is written."""
    horizontal_pod_autoscaler: DnsSubdomain | None = None
    """Mode Floor: whose minReplicas is written; mode Metric: who reads the value. Not given: the one on this
    workload."""

    @field_validator("schedules", "node_pools")
    @classmethod
    def _names_differ(cls, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return unique_names(entries)


def _above_max(spec: PredictiveAutoscalerSpec) -> tuple[Schedule, ...]:
    return tuple(schedule for schedule in spec.schedules if schedule.min_replicas > spec.max_replicas)
