"""The sections of a scenario file: what may be written, in which unit and range, and what holds where nothing is.

The text under each field is what `--print-scenario` writes beside it and what docs/reference/scenario.md lists.
"""

import copy
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from leadtime.scenario_cluster import NodesSection as NodesSection
from leadtime.scenario_pods import OwnerSection, PodSection, RolloutSection, StartSection
from leadtime.scenario_section import Section as Section
from leadtime.scenario_servers import ServerSection as ServerSection
from policies.errors import BadInput

SEED_MAX = 2**32 - 1


class DemandSection(Section):
    """Which requests arrive, and when. Order: scale_rate, the minutes, thin, time_warp."""

    shorthand: ClassVar[str] = "a text, or "

    source: str = Field(min_length=1)
    """a recording (Azure or plain CSV, Mooncake JSONL), a ServeGen prefix, or a generator such as poisson:rate=5"""
    scale_rate: float = Field(default=1.0, gt=0, le=1_000)
    """factor on the request rate; 1 is the rate as recorded"""
    thin: float = Field(default=1.0, gt=0, le=1)
    """share of the requests that is kept, each by its own coin; 1 keeps all"""
    time_warp: float = Field(default=1.0, gt=0, le=1_000)
    """factor on every arrival time: 2 makes the demand last twice as long, at half the rate"""
    start_minutes: float = Field(default=0.0, ge=0, le=527_040)
    """minutes left out at the beginning"""
    minutes: float | None = Field(default=None, gt=0, le=527_040)
    """minutes kept from there; null keeps the rest. The most is a year"""
    seed: int = Field(default=1, ge=0, le=SEED_MAX)
    """of what is drawn: requests of tables and generators, thinning"""
    skip_bad_rows: bool = False
    """leave corrupt rows of a recording out and count them, instead of refusing the file"""


class SLOSection(Section):
    """What a good request must keep."""

    ttft_seconds: float = Field(default=2.0, ge=0.001, le=3_600)
    """time to first token, from arrival at the gateway"""
    tpot_seconds: float = Field(default=0.075, ge=0.0001, le=3_600)
    """mean time per output token after the first; 0.075 is 13 tokens/s"""
    e2e_seconds: float | None = Field(default=None, ge=0.001, le=604_800)
    """end-to-end latency as well; null for no limit"""


class ReplicasSection(Section):
    """How many replicas there are at the start, and the bounds of every policy that is not from a manifest."""

    initial: int = Field(default=4, ge=0, le=100_000)
    """ready at second zero"""
    min: int | None = Field(default=None, ge=0, le=100_000)
    """minReplicas; null leaves each policy its own"""
    max: int = Field(default=20, ge=1, le=100_000)
    """maxReplicas"""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low = self.min or 0
        if low > self.max:
            raise BadInput(f"min: was {low}, must be in [0, max = {self.max}]; lower it or raise max")
        if not low <= self.initial <= self.max:
            raise BadInput(
                f"initial: was {self.initial}, must be in [min, max] = [{low}, {self.max}]; choose a number of "
                "replicas that the policies may keep"
            )
        return self


class RouterWeights(Section):
    """How much each signal counts where the router adds them up, each from 0 to 1."""

    queue: float = Field(default=0.0, ge=0, le=1_000)
    """1 for the shortest queue, 0 for the longest"""
    kv: float = Field(default=0.0, ge=0, le=1_000)
    """share of the server's KV cache that is free"""
    prefix: float = Field(default=0.0, ge=0, le=1_000)
    """share of the prompt that the server has in its prefix cache"""
    lora: float = Field(default=0.0, ge=0, le=1_000)
    """1 where the adapter is loaded, 0.8 where there is room for it"""


class RouterSection(Section):
    """Which ready replica gets a request."""

    policy: Literal["least-outstanding", "round-robin", "queue-aware", "kv-aware", "prefix-aware", "lora-aware"] = (
        "least-outstanding"
    )
    """least-outstanding needs no signal from the servers: what a plain gateway does"""
    signal_interval_seconds: float = Field(default=0.0, ge=0, le=3_600)
    """how old what the router knows of the servers may be; 0: it knows the present"""
    weights: RouterWeights | None = None
    """of the signals; null: 1 for the policy's own, and for queue and kv beside prefix or lora"""

    @model_validator(mode="after")
    def _weights_are_used(self) -> Self:
        if self.weights is not None and self.policy in ("least-outstanding", "round-robin"):
            raise BadInput(f"weights: was given, must be null for {self.policy}, which adds nothing up; leave it out")
        if self.weights is not None and not any(self.weights.model_dump().values()):
            raise BadInput("weights: was 0 for every signal, must be above 0 for one; raise one or leave weights out")
        return self


class TimeoutsSection(Section):
    """When somebody stops waiting; null is never."""

    gateway_seconds: float | None = Field(default=None, ge=0.001, le=604_800)
    """a request that no replica has taken by then is answered with an error"""
    client_seconds: float | None = Field(default=None, ge=0.001, le=604_800)
    """a client whose answer is not complete by then closes the connection"""


class FailuresSection(Section):
    """Replicas that die."""

    mtbf_hours: float | None = Field(default=None, gt=0, le=1_000_000)
    """mean time between failures of one replica, exponential; null: they do not fail"""
    retry: bool = True
    """the gateway sends what a dead replica had to another one"""


class MetricsSection(Section):
    """What lies between the servers and a policy: it sees nothing else."""

    scrape_seconds: int | None = Field(default=None, ge=1, le=3_600)
    """between two scrapes; null: each policy's own system's, 15 for most"""
    delay_seconds: float = Field(default=0.0, ge=0, le=3_600)
    """from a scrape until its values can be read"""
    loss_probability: float = Field(default=0.0, ge=0, le=1)
    """that the scrape of one replica fails"""
    stale_probability: float = Field(default=0.0, ge=0, le=1)
    """that an exporter answers with its previous values"""
    max_age_seconds: float = Field(default=60.0, ge=1, le=3_600)
    """until a value counts as missing; 60 is four scrapes at 15 s, the adapter's default"""

    @model_validator(mode="after")
    def _outlasts_scrapes(self) -> Self:
        needed = (self.scrape_seconds or 0) + self.delay_seconds
        if self.max_age_seconds < needed:
            raise BadInput(
                f"max_age_seconds: was {self.max_age_seconds:g}, must be at least scrape_seconds + delay_seconds = "
                f"{needed:g}, or every value is missing between scrapes; raise it"
            )
        return self


class LeadTimeSection(Section):
    """From asking for a pod to serving with it: start, then load, each lognormal."""

    start_median_seconds: float = Field(default=111.0, ge=0, le=86_400)
    """until its containers run on a new node; 111 s is what GKE took for an L4 node"""
    warm_start_median_seconds: float = Field(default=3.0, ge=0, le=86_400)
    """the same on a node that is there and has the image; 3 s is just within Kubernetes' objective for pods"""
    load_median_seconds: float = Field(default=120.0, ge=0, le=86_400)
    """from then until Ready: model load and warm-up"""
    sigma: float = Field(default=0.2, ge=0, le=3)
    """standard deviation of the logarithm; 0 makes every pod take the median"""


class DisaggregationSection(Section):
    """Prefill and decode on servers of their own."""

    prefill_replicas: int = Field(default=2, ge=1, le=100_000)
    """that only prefill; policies scale those that decode"""
    transfer_gbytes_per_second: float = Field(default=25.0, gt=0, le=10_000)
    """at which a prompt's KV cache moves; 25 is a 200 Gbit/s network"""


class WorkloadSection(Section):
    """One of several models that share the nodes; what is null is the scenario's own."""

    name: str = Field(min_length=1, max_length=63)
    """what tables call it"""
    demand: DemandSection | None = None
    """its requests"""
    profile: str | None = Field(default=None, min_length=1)
    """its model and GPU"""
    policy: str | None = Field(default=None, min_length=1)
    """that scales it"""
    replicas: ReplicasSection | None = None
    """of this model"""
    slo: SLOSection | None = None
    """of this model's requests"""
    router: RouterSection | None = None
    """of this model's replicas"""
    server: ServerSection | None = None
    """of this model's replicas"""
    start: StartSection | None = None
    """of this model's pods"""
    workload: OwnerSection | None = None
    """of this model's pods"""
    rollout: RolloutSection | None = None
    """of this model's pods"""
    pod: PodSection | None = None
    """of this model's pods"""

    @model_validator(mode="before")
    @classmethod
    def _short_demand(cls, content: Any) -> Any:
        return with_demand_spelled_out(content)


def with_demand_spelled_out(content: Any) -> Any:
    """`demand: text` as `demand: {source: text}`, in a copy that knows its lines where the original does."""
    if isinstance(content, dict) and isinstance(content.get("demand"), str):
        content = copy.copy(content)
        content["demand"] = {"source": content["demand"]}
    return content
