"""What leadtime's rule remembers between two calls, and what one snapshot adds to it."""

from dataclasses import dataclass, field, replace

from policies.hpa import HPAState
from policies.predictive.demand import Demand, DemandState, estimate
from policies.predictive.jump import Jump
from policies.predictive.lead_time import LeadTimes, expected_seconds, usable_seconds
from policies.predictive.lead_time import learn as learn_lead_times
from policies.predictive.margin import Margin, follow
from policies.predictive.miss_model import MissModel
from policies.predictive.missed import missed_shares
from policies.predictive.observed_load import ObservedLoad, mean_level, usual_level
from policies.predictive.observed_load import observe as observe_load
from policies.predictive.replacements import Replacements
from policies.predictive.replica_capacity import log_room, step_per_request, sustained, within_slo
from policies.predictive.settled import Settled
from policies.predictive.sizing import Sizing
from policies.predictive.spec import PredictiveSpec
from policies.predictive.work_factor import WorkFactor
from policies.snapshot import NS_PER_SECOND, Snapshot

_LONG_REQUEST = 2.0
"""Times the mean request's tokens: what most requests do not exceed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictiveState:
    """Everything the rule remembers between two calls. sizing: None until something was learned.

    lead_time_seconds: as the last snapshot gave it, for learning; None where it gave none that can be used.
    """

    demand: DemandState = field(default_factory=DemandState)
    last: Demand | None = None
    load: ObservedLoad = field(default_factory=ObservedLoad)
    sizing: Sizing | None = None
    margin: Margin = field(default_factory=Margin)
    misses: MissModel = field(default_factory=MissModel)
    work: WorkFactor = field(default_factory=WorkFactor)
    settled: Settled = field(default_factory=Settled)
    jump: Jump = field(default_factory=Jump)
    replacements: Replacements = field(default_factory=Replacements)
    lead_times: LeadTimes = field(default_factory=LeadTimes)
    lead_time_seconds: float | None = None
    scaling: HPAState = field(default_factory=HPAState)


def observe(spec: PredictiveSpec, state: PredictiveState, snapshot: Snapshot) -> PredictiveState:
    """The state with what this snapshot shows of lead times and, where it holds a new complete scrape, of demand."""
    sample, demand_state = estimate(state.demand, snapshot)
    state = replace(
        state,
        demand=demand_state,
        lead_times=learn_lead_times(state.lead_times, snapshot),
        lead_time_seconds=usable_seconds(snapshot.lead_time_seconds),
    )
    return state if sample is None else _with_sample(spec, state, sample, snapshot)


def lead_seconds(spec: PredictiveSpec, state: PredictiveState) -> float:
    """From asking for a pod to serving with it: as the caller learned it, else as the pods themselves show it."""
    if state.lead_time_seconds is not None:
        return state.lead_time_seconds
    return expected_seconds(state.lead_times, spec.lead_time_seconds)


def _with_sample(spec: PredictiveSpec, state: PredictiveState, sample: Demand, snapshot: Snapshot) -> PredictiveState:
    """What one complete scrape adds: load, and how many requests miss the SLO at this moment."""
    per_replica = sustained(spec, sample)
    if per_replica is None:
        return replace(state, last=sample)
    replicas = sample.requests_per_second / per_replica
    before, jump = state.last, state.jump
    if state.load.traits is not None:
        jump = jump.seen(sample.at_ns, usual=usual_level(state.load), load=replicas)
    load = observe_load(state.load, sample.at_ns, replicas)
    settled = state.settled.seen(
        sample.at_ns, snapshot, backlog=sample.backlog, started_per_second=sample.started_per_second
    )
    state = replace(state, last=sample, load=load, jump=jump, settled=settled)
    if before is None or sample.requests_per_second <= 0:
        return state
    seconds = (sample.at_ns - before.at_ns) / NS_PER_SECOND
    requests = sample.requests_per_second * seconds
    ready = max(snapshot.ready_replicas, 1)
    assert sample.output_tokens is not None, "sustained says that it is known"
    longest = _LONG_REQUEST * sample.output_tokens * spec.tpot_seconds
    is_settled = settled.is_settled(sample.at_ns, request_seconds=longest)
    work = state.work
    if is_settled:
        work = work.after(
            running=(before.running + sample.running) / 2.0,
            tokens_per_second=sample.tokens_per_second,
            replicas=ready,
            base_seconds=spec.profile.base_seconds,
            seconds_per_request=step_per_request(spec, sample),
            seconds=seconds,
        )
    room = log_room(spec, sample, ready, work.value)
    ttft_missed, tpot_missed = missed_shares(snapshot, spec.ttft_seconds, spec.tpot_seconds)
    misses = state.misses
    if tpot_missed is not None:
        if is_settled:
            share = min(1.0, tpot_missed + (ttft_missed or 0.0))
            misses = misses.seen(log_room=room, requests=requests, missed_share=share, seconds=seconds)
    else:
        tpot_missed = float(misses.missed_at(room))
    if ttft_missed is None:
        ttft_missed = float(sample.backlog / max(sample.started_per_second, 1e-9) > spec.ttft_seconds)
    within = within_slo(spec, misses, sample, work.value)
    assert within is not None, "sustained says that sizes are known"
    margin = follow(
        state.margin,
        missed=min(1.0, ttft_missed + tpot_missed) * requests,
        requests=requests,
        usual_requests=mean_level(load) * per_replica * seconds,
        seconds=seconds,
        attainment=within.aim(spec.attainment),
        is_learned=state.sizing is not None,
    )
    return replace(state, margin=margin, misses=misses, work=work)
