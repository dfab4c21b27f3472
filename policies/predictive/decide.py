"""leadtime's own rule: enough replicas for the demand that will be there when a pod asked for now is ready.

    arrivals / what a replica sustains at the mean TPOT = load -> its traits -> capacity, by weights learned from the
    load's own past for the asked attainment and the lead time -> a margin by feedback -> behavior

The load of now, at what a replica delivers with the asked attainment, with its backlog drained within a stated time,
is the floor: what was learned only ever adds.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from policies.decision import Decision
from policies.entry import PolicyEntry
from policies.hpa import HPAState
from policies.policy import Policy
from policies.predictive.behavior import apply_behavior
from policies.predictive.demand import Demand, DemandState, estimate
from policies.predictive.jump import Jump
from policies.predictive.lead_time import LeadTimes, expected_seconds
from policies.predictive.lead_time import learn as learn_lead_times
from policies.predictive.load_traits import TRAITS
from policies.predictive.margin import Margin, follow
from policies.predictive.missed import missed_queries, missed_shares
from policies.predictive.observed_load import ObservedLoad, observe, traits_at, usual_level
from policies.predictive.replay import Rules
from policies.predictive.replica_capacity import log_room, sustained, within_slo
from policies.predictive.sizing import LEARN_PERIOD_SECONDS, LEVEL, Sizing, is_due, learned, prior
from policies.predictive.spec import PredictiveSpec, check
from policies.predictive.within_slo import Spread, share_within
from policies.serving_counters import QUERIES
from policies.snapshot import NS_PER_SECOND, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictiveState:
    """Everything the rule remembers between two calls. sizing: None until something was learned."""

    demand: DemandState = field(default_factory=DemandState)
    last: Demand | None = None
    load: ObservedLoad = field(default_factory=ObservedLoad)
    sizing: Sizing | None = None
    margin: Margin = field(default_factory=Margin)
    spread: Spread = field(default_factory=Spread.prior)
    jump: Jump = field(default_factory=Jump)
    lead_times: LeadTimes = field(default_factory=LeadTimes)
    scaling: HPAState = field(default_factory=HPAState)


_NOTHING_SEEN = PredictiveState()


def predictive_policy(spec: PredictiveSpec, name: str = "leadtime") -> Policy[PredictiveSpec, PredictiveState]:
    """The rule with its spec checked; raises BadInput."""
    check(spec)
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=_NOTHING_SEEN,
        queries=(*QUERIES, *missed_queries(spec.ttft_seconds, spec.tpot_seconds)),
        learn=learn,
        learn_period_seconds=LEARN_PERIOD_SECONDS,
    )


def decide(
    spec: PredictiveSpec, state: PredictiveState, snapshot: Snapshot, now_ns: int
) -> tuple[Decision, PredictiveState]:
    """Recommend a replica count; while demand is unknown, vote for the present one: it is never scaled away."""
    sample, demand_state = estimate(state.demand, snapshot)
    state = replace(state, demand=demand_state, lead_times=learn_lead_times(state.lead_times, snapshot))
    if sample is not None:
        state = _with_sample(spec, state, sample, snapshot)
    need = _need(spec, state, now_ns)
    desired, reason, scaling = apply_behavior(
        state.scaling,
        behavior=spec.rules,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        current_replicas=snapshot.replicas,
        wanted_replicas=snapshot.replicas if need is None else need.replicas,
        now_ns=now_ns,
    )
    decision = Decision(
        desired_replicas=desired,
        reason="FailedGetPodsMetric" if need is None and desired == snapshot.replicas else reason,
        message=_sentence(spec, need, snapshot.replicas, desired) + state.jump.words(now_ns),
        numbers={} if need is None else need.numbers,
    )
    return decision, replace(state, scaling=scaling)


def learn(spec: PredictiveSpec, state: PredictiveState, now_ns: int) -> PredictiveState:  # noqa: ARG001 - as Learn
    """Fit the sizing to the load that was seen, when it is due; seconds of work, apart from any decision."""
    if state.last is None or (within := within_slo(spec, state.spread, state.last)) is None:
        return state
    floor_load = within.load_for(spec.attainment)
    sizing = state.sizing or prior(spec.attainment, floor_load)
    if not is_due(sizing, state.load.history):
        return state
    rules = Rules(
        within=within,
        floor_load=floor_load,
        lead_seconds=expected_seconds(state.lead_times, spec.lead_time_seconds),
        slack_seconds=spec.ttft_seconds,
        window_seconds=float(spec.rules.scale_down.stabilization_window_seconds or 0),
    )
    fitted = learned(sizing, state.load.history, attainment=spec.attainment, rules=rules)
    margin = state.margin if state.sizing is not None else Margin()  # what mended the prior would spoil the fit
    return replace(state, sizing=fitted, margin=margin)


_STALE_SECONDS = 60.0
"""A demand sample older than this is no longer the present: four scrapes at the usual 15 s."""


def _with_sample(spec: PredictiveSpec, state: PredictiveState, sample: Demand, snapshot: Snapshot) -> PredictiveState:
    """What one complete scrape adds: load, and how many requests miss the SLO at this moment."""
    per_replica = sustained(spec, sample)
    if per_replica is None:
        return replace(state, last=sample)
    replicas = sample.requests_per_second / per_replica
    before, jump = state.last, state.jump
    if state.load.traits is not None:
        jump = jump.seen(sample.at_ns, usual=usual_level(state.load), load=replicas)
    load = observe(state.load, sample.at_ns, replicas)
    state = replace(state, last=sample, load=load, jump=jump)
    if before is None or sample.requests_per_second <= 0:
        return state
    seconds = (sample.at_ns - before.at_ns) / NS_PER_SECOND
    requests = sample.requests_per_second * seconds
    room = log_room(spec, sample, max(snapshot.ready_replicas, 1))
    ttft_missed, tpot_missed = missed_shares(snapshot, spec.ttft_seconds, spec.tpot_seconds)
    spread = state.spread
    if tpot_missed is not None:
        spread = spread.seen(log_room=room, requests=requests, missed_share=tpot_missed, seconds=seconds)
    else:
        tpot_missed = 1.0 - float(share_within(np.asarray(room), spread.value))
    if ttft_missed is None:
        ttft_missed = float(sample.backlog / max(sample.started_per_second, 1e-9) > spec.ttft_seconds)
    margin = follow(
        state.margin,
        missed=min(1.0, ttft_missed + tpot_missed) * requests,
        requests=requests,
        usual_requests=usual_level(load) * per_replica * seconds,
        seconds=seconds,
        attainment=spec.attainment,
        is_learned=state.sizing is not None,
    )
    return replace(state, margin=margin, spread=spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    replicas: int
    learned_days: float
    numbers: dict[str, float]


def _need(spec: PredictiveSpec, state: PredictiveState, now_ns: int) -> _Need | None:
    """Replicas for the load of now and of one lead time ahead; None while either is unknown."""
    last = state.last
    if last is None or now_ns - last.at_ns > _STALE_SECONDS * NS_PER_SECOND:
        return None
    within = within_slo(spec, state.spread, last)
    lead_seconds = expected_seconds(state.lead_times, spec.lead_time_seconds)
    traits = traits_at(state.load, lead_seconds)
    if within is None or traits is None:
        return None
    per_replica = sustained(spec, last)
    assert per_replica is not None
    floor_load = within.load_for(spec.attainment)
    capacity = floor_load * per_replica
    sizing = state.sizing or prior(spec.attainment, floor_load)
    ahead = sizing.replicas(traits) * state.margin.factor
    level = float(traits[LEVEL])
    present = level / floor_load * min(state.margin.factor, 1.0) + last.backlog / spec.drain_seconds / capacity
    replicas = math.ceil(max(present, ahead) - 1e-9)
    largest = int(np.argmax(sizing.weights * traits))
    return _Need(
        replicas=replicas,
        learned_days=sizing.days,
        numbers={
            "demand_requests_per_second": last.requests_per_second,
            "level_requests_per_second": level * per_replica,
            "backlog_requests": last.backlog,
            "capacity_requests_per_second": capacity,
            "load_replicas": level / floor_load,
            "ahead_replicas": ahead,
            "margin": state.margin.factor,
            "tpot_spread": state.spread.value,
            f"from_{TRAITS[largest]}_replicas": float(sizing.weights[largest] * traits[largest]),
            "lead_time_seconds": lead_seconds,
            "prompt_tokens": last.prompt_tokens or 0.0,
            "output_tokens": last.output_tokens or 0.0,
            "needed_replicas": float(replicas),
        },
    )


def _sentence(spec: PredictiveSpec, need: _Need | None, replicas: int, desired: int) -> str:
    change = f"{desired} replicas kept" if desired == replicas else f"{replicas} -> {desired} replicas"
    if need is None:
        return f"{change}: demand is not known (no complete and recent scrape of the ready pods)"
    n = need.numbers
    past = f"{need.learned_days:.1f} days of its own load" if need.learned_days else "other services' load"
    why = (
        f"{n['level_requests_per_second']:.1f} req/s now at {n['capacity_requests_per_second']:.2f} a replica are "
        f"{n['load_replicas']:.1f} replicas; {spec.attainment:.4g} within the SLO over {n['lead_time_seconds']:.0f} s "
        f"take {n['ahead_replicas']:.1f} (as {past} teaches, margin {n['margin']:.2f}): {need.replicas} needed"
    )
    if n["backlog_requests"] >= 1:
        why += f", {n['backlog_requests']:.0f} waiting"
    return f"{change}: {why}"


ENTRY = PolicyEntry(
    name="leadtime",
    summary="replicas for the demand that will be there when a pod asked for now is ready",
    source="this project, policies/predictive/decide.py",
    spec=PredictiveSpec,
    knob="attainment",
    build=predictive_policy,
)
