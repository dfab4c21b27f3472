"""The world of the comparison: one service of L4 replicas on a pool of spot nodes before one on demand.

The cluster-autoscaler's rules, two zones, a quota, staged starts, spot nodes that are taken back, and no spot nodes at
all for a while in the middle of the judged part. As docs/examples/spot-first.yaml, with room for more replicas.
"""

from dataclasses import dataclass, replace

from policies.capacity.profile import PROFILES
from policies.capacity.sustained import sustained_batch
from policies.errors import BadInput
from simulations.cluster.cluster_rules import ClusterRules
from simulations.cluster.machine_pool import machine_pool
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.spot import Spot
from simulations.cluster.zones import Quota, Stockout
from simulations.counts.capacity import initial_replicas, kept, peak_replicas
from simulations.counts.demand_counts import Counts, count
from simulations.demand.text import demand_from
from simulations.demand.transformations import sliced
from simulations.lead_time import Stage
from simulations.scenario import Scenario, Termination, Workload
from simulations.slo import SLO
from simulations.start.model_load import KeptBy
from simulations.start.presets import GKE_L4_RECORDED
from simulations.start.staged_start import StagedStart
from simulations.start.transfer import Transfer
from simulations.trace import Demand

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
OBJECTIVE = SLO(ttft_seconds=2.0, tpot_seconds=0.1)
MACHINE, ZONES = "g2-standard-4", ("us-central1-a", "us-central1-b")
SPOT_POOL, ON_DEMAND_POOL = "l4-spot", "l4-on-demand"
MOST_REPLICAS, PEAK_REPLICAS = 64, 45.0
PROVISION = Stage(95.0)
SPOT = Spot(preemptions_per_node_hour=0.1, zone_events_per_hour=0.02)
"""Rates of this benchmark's own: clouds publish none."""

_STOCKOUT_SECONDS = 3_600.0
_STOCKOUT_SHARE = 0.25
_TRAINING_SHARE = 2 / 3
_WEIGHTS = Transfer(8.5e9, 400e6), Transfer(8.5e9, 350e6)
"""8.5 GB of weights from a bucket, and from the node's disk onto the GPU."""

START: StagedStart = replace(
    GKE_L4_RECORDED.start, download=_WEIGHTS[0], read=_WEIGHTS[1], warm_up=Stage(25.0), kept_by=KeptBy.NODE
)
LEAD_SECONDS = PROVISION.median_seconds + sum(
    stage.median_seconds
    for stage in (START.volume, START.pull, START.container, START.download, START.read, START.warm_up)
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class World:
    """One demand in it. keep: share of the requests that were kept, so that the peak takes PEAK_REPLICAS at most.

    judged_from, ends: seconds. batch: requests that a replica decodes at the mean TPOT target.
    """

    spec: str
    keep: float
    judged_from: float
    ends: float
    peak_replicas: float
    initial_replicas: int
    batch: float

    @property
    def stockouts(self) -> tuple[Stockout, ...]:
        """No spot nodes in the middle of the judged part, nor at that time one such part before, which teaches it."""
        length = self.ends - self.judged_from
        window = min(_STOCKOUT_SECONDS, _STOCKOUT_SHARE * length)
        middles = (self.judged_from - length / 2, self.judged_from + length / 2)
        return tuple(
            Stockout(zone="", start_seconds=middle - window / 2, end_seconds=middle + window / 2, spot=True)
            for middle in middles
            if middle >= window
        )

    def demand(self, seed: int) -> Demand:
        """What arrives; of a recording, the seed tosses the coins of what is kept."""
        return kept(sliced(demand_from(self.spec, seed=seed), 0.0, self.ends), self.keep, seed)

    def scenario(self, seed: int) -> Scenario:
        rules = ClusterRules(
            autoscaler=NodeAutoscaler.cluster_autoscaler(),
            quotas=(Quota(gpu=PROFILE.gpu, gpus=MOST_REPLICAS),),
            stockouts=self.stockouts,
        )
        return Scenario(
            trace=self.demand(seed),
            profile=PROFILE,
            slo=OBJECTIVE,
            initial_replicas=self.initial_replicas,
            seed=seed,
            start=START,
            workload=Workload(termination=Termination(grace_period_seconds=60.0)),
            nodes=_pool(SPOT_POOL, spot=SPOT),
            fallback_pools=(_pool(ON_DEMAND_POOL, spot=None),),
            cluster=rules,
        )


def world_of(spec: str, *, seed: int, hours: float | None, train_hours: float | None) -> World:
    """Measure a demand. hours: of it; None for all. train_hours: None for the first two thirds. Raises BadInput."""
    whole = demand_from(spec, seed=seed)
    demand = whole if hours is None else sliced(whole, 0.0, min(3_600.0 * hours, whole.duration_seconds))
    ends = demand.duration_seconds
    judged_from = _TRAINING_SHARE * ends if train_hours is None else 3_600.0 * train_hours
    if not 0.0 < judged_from < ends:
        raise BadInput(
            f"--train-hours: was {judged_from / 3_600.0:g}, must be in (0, {ends / 3_600.0:g}), the demand's hours"
        )
    counts = count(demand)
    peak = peak_replicas(counts, PROFILE, OBJECTIVE.tpot_seconds)
    keep = min(1.0, PEAK_REPLICAS / peak)
    at_first = initial_replicas(counts, PROFILE, OBJECTIVE.tpot_seconds)
    return World(
        spec=spec,
        keep=keep,
        judged_from=judged_from,
        ends=ends,
        peak_replicas=peak * keep,
        initial_replicas=min(max(1, round(at_first * keep)), MOST_REPLICAS),
        batch=_batch(counts),
    )


def _pool(name: str, *, spot: Spot | None) -> NodePool:
    return machine_pool(name, MACHINE, max_nodes=MOST_REPLICAS, zones=ZONES, spot=spot, provision=PROVISION)


def _batch(counts: Counts) -> float:
    requests = float(counts.requests.sum())
    batch = sustained_batch(
        PROFILE,
        prompt_tokens=float(counts.prompt_tokens.sum()) / requests,
        output_tokens=float(counts.output_tokens.sum()) / requests,
        tpot_seconds=OBJECTIVE.tpot_seconds,
    )
    return max(batch, 1.0)
