"""`status` of a PredictiveAutoscaler: what was seen, what is wanted, and why."""

from typing import Any, Literal

from pydantic import Field

from autoscaler.crd.names import LIST_MAP_BY_NAME
from autoscaler.crd.section import CrdSection
from autoscaler.crd.spec import Mode

_TIME: dict[str, Any] = {"format": "date-time"}


class Condition(CrdSection):
    """One aspect of the state, as metav1.Condition."""

    type: str = Field(min_length=1, max_length=316, pattern=r"^[A-Za-z]+$")
    """Ready, AbleToScale, ScalingActive, ScalingLimited, DemandKnown, NoConflict, NodePoolsReady, PodDeletionCostSet;
    each is well when True, but ScalingLimited, which tells that bounds or `behavior` hold the count."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: int | None = Field(None, ge=0)
    """metadata.generation of the spec that this tells of."""
    last_transition_time: str = Field(json_schema_extra=_TIME)
    """When `status` last changed."""
    reason: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    """Why, as one word in CamelCase."""
    message: str = Field(max_length=32_768)
    """Why, as a sentence, with the remedy where there is one."""


class DemandStatus(CrdSection):
    """What users ask for now, as the last complete scrape of the ready pods has it."""

    requests_per_second: float | None = None
    """Requests that arrive, per second."""
    backlog_requests: float | None = None
    """Requests that wait in the servers' queues."""
    prompt_tokens: float | None = None
    """Mean prompt, tokens a request."""
    output_tokens: float | None = None
    """Mean answer, tokens a request."""


class ForecastStatus(CrdSection):
    """What replicas are needed for, from now to the instant at which a replica asked for now would serve."""

    lower_requests_per_second: float | None = None
    """Demand one lead time ahead, lower edge of the band: in 10 % of cases it comes to less. The band is left out while
    fewer than two hours of demand are known."""
    median_requests_per_second: float | None = None
    """Demand one lead time ahead: in half of the cases it comes to less."""
    upper_requests_per_second: float | None = None
    """Demand one lead time ahead, upper edge of the band: in 10 % of cases it comes to more."""
    covered_share: float | None = None
    """Of the last day's minutes those whose demand lay within the band that was told a lead time before: 0.8 where the
    band is as wide as it should be."""

    lead_time_seconds: float | None = None
    """From asking for a replica to serving with it, as learned or assumed."""
    now_replicas: float | None = None
    """Replicas that the load of now keeps busy."""
    ahead_replicas: float | None = None
    """Replicas that hold the asked attainment until then."""
    ahead_requests_per_second: float | None = None
    """The same as requests per second, at the present capacity of a replica."""
    margin: float | None = None
    """Factor by which the sizing is corrected, because more or fewer requests met the SLO than asked."""
    learned_days: float | None = None
    """Days of its own load from which the sizing was learned. 0: that of other services is used."""


class CapacityStatus(CrdSection):
    """What one replica does."""

    requests_per_second_per_replica: float | None = None
    """Requests per second with which one replica holds the asked attainment, at the present lengths."""


class NodePoolStatus(CrdSection):
    """One of spec.nodePools."""

    name: str = Field(min_length=1, max_length=63)
    """Its name in spec.nodePools."""
    provider: str | None = None
    """How it is told its floor."""
    floor_nodes: int | None = None
    """Nodes that it is told to have at least."""
    nodes: int | None = None
    """Nodes that there are, those that are not Ready too."""
    ready_nodes: int | None = None
    """Nodes that are Ready."""
    condition: str | None = None
    """Ready, AtMaxNodes, QuotaExceeded, StockedOut: whether it can hold what is needed."""
    state: str | None = None
    """What the provider says: Idle, Resizing, QuotaExceeded, StockedOut, Refused, Recommended."""
    message: str | None = None
    """Why, as a sentence."""


class PredictiveAutoscalerStatus(CrdSection):
    """What was seen, what is wanted, and why. What is not known is left out: it is never 0."""

    observed_generation: int | None = Field(None, ge=0)
    """metadata.generation of the spec that this tells of."""
    mode: Mode | None = None
    """The mode in force."""
    paused: bool | None = None
    """Whether nothing is written: for this object or for the whole cluster."""
    conditions: tuple[Condition, ...] = Field(
        (),
        strict=False,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Aspects of the state, each with reason and message."""
    current_replicas: int | None = None
    """Replicas that the workload was asked to have (spec.replicas of its scale subresource)."""
    ready_replicas: int | None = None
    """Pods that serve."""
    starting_replicas: int | None = None
    """Pods that exist and do not serve yet."""
    pending_replicas: int | None = None
    """Of those, pods without a node."""
    desired_replicas: int | None = None
    """Replicas that are wanted now, `behavior` and bounds applied."""
    reason: str | None = None
    """Why so many, as one word in CamelCase: the HPA's reasons where they fit."""
    message: str | None = None
    """Why so many, as a sentence with its numbers."""
    last_decision_time: str | None = Field(None, json_schema_extra=_TIME)
    """When that was decided."""
    last_scale_time: str | None = Field(None, json_schema_extra=_TIME)
    """When a count was last written."""
    demand: DemandStatus | None = None
    forecast: ForecastStatus | None = None
    capacity: CapacityStatus | None = None
    node_pools: tuple[NodePoolStatus, ...] = Field((), strict=False, json_schema_extra=LIST_MAP_BY_NAME)
    """What became of spec.nodePools."""
    hourly_cost: float | None = None
    """What the asked replicas cost an hour, in the currency of spec.cost; left out without a price there."""
