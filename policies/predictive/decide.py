"""leadtime's own rule: enough replicas for the demand that will be there when a pod asked for now is ready.

    arrivals / what a replica sustains at the mean TPOT = load -> its traits -> capacity, by weights learned from the
    load's own past for the asked attainment and the lead time -> a margin by feedback -> behavior

The load of now, at what a replica delivers with the asked attainment, with its backlog drained within a stated time,
is the floor: what was learned only ever adds.
"""

from dataclasses import replace

from policies.decision import Decision
from policies.entry import PolicyEntry
from policies.policy import Policy
from policies.predictive.behavior import apply_behavior
from policies.predictive.missed import missed_queries
from policies.predictive.need import NOT_KNOWN, recommend
from policies.predictive.replay import Rules
from policies.predictive.replica_capacity import within_slo
from policies.predictive.sizing import LEARN_PERIOD_SECONDS, is_due, learned, prior
from policies.predictive.spec import PredictiveSpec, check
from policies.predictive.state import PredictiveState, lead_seconds
from policies.serving_counters import QUERIES
from policies.snapshot import MetricQuery, Snapshot

NOTHING_SEEN = PredictiveState()


def predictive_policy(spec: PredictiveSpec, name: str = "leadtime") -> Policy[PredictiveSpec, PredictiveState]:
    """The rule with its spec checked; raises BadInput."""
    check(spec)
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=NOTHING_SEEN,
        queries=queries(spec),
        learn=learn,
        learn_period_seconds=LEARN_PERIOD_SECONDS,
    )


def queries(spec: PredictiveSpec) -> tuple[MetricQuery, ...]:
    """What must be observed: the servers' counters, and the shares that miss the SLO."""
    return (*QUERIES, *missed_queries(spec.ttft_seconds, spec.tpot_seconds))


def decide(
    spec: PredictiveSpec, state: PredictiveState, snapshot: Snapshot, now_ns: int
) -> tuple[Decision, PredictiveState]:
    """Recommend a replica count; while demand is unknown, vote for the present one: it is never scaled away."""
    need, state = recommend(spec, state, snapshot, now_ns)
    desired, reason, scaling = apply_behavior(
        state.scaling,
        behavior=spec.rules,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        current_replicas=snapshot.replicas,
        wanted_replicas=snapshot.replicas if need is None else spared(spec, state, snapshot, need.replicas, now_ns),
        now_ns=now_ns,
    )
    kept = desired == snapshot.replicas
    change = f"{desired} replicas kept" if kept else f"{snapshot.replicas} -> {desired} replicas"
    decision = Decision(
        desired_replicas=desired,
        reason="FailedGetPodsMetric" if need is None and kept else reason,
        message=f"{change}: {NOT_KNOWN if need is None else need.words}{state.jump.words(now_ns)}",
        numbers={} if need is None else need.numbers,
    )
    return decision, replace(state, scaling=scaling)


def spared(spec: PredictiveSpec, state: PredictiveState, snapshot: Snapshot, wanted_replicas: int, now_ns: int) -> int:
    """What to ask for where so many would do: no less while pods that served are being replaced (replacements.py)."""
    seconds = lead_seconds(spec, state)
    return state.replacements.spared(wanted_replicas, snapshot, lead_seconds=seconds, now_ns=now_ns)


def learn(spec: PredictiveSpec, state: PredictiveState, now_ns: int) -> PredictiveState:  # noqa: ARG001 - as Learn
    """Fit the sizing to the load that was seen, when it is due; seconds of work, apart from any decision."""
    if state.last is None or (within := within_slo(spec, state.misses, state.last, state.work.value)) is None:
        return state
    aim = within.aim(spec.attainment)
    floor_load = within.load_for(aim)
    sizing = state.sizing or prior(aim, floor_load)
    lead_time_seconds = lead_seconds(spec, state)
    if not is_due(sizing, state.load.history, lead_time_seconds):
        return state
    rules = Rules(
        within=within,
        floor_load=floor_load,
        lead_seconds=lead_time_seconds,
        slack_seconds=spec.ttft_seconds,
        window_seconds=float(spec.rules.scale_down.stabilization_window_seconds or 0),
    )
    fitted = learned(sizing, state.load.history, attainment=aim, rules=rules)
    return adopt(state, replace(state, sizing=fitted))


def adopt(state: PredictiveState, taught: PredictiveState) -> PredictiveState:
    """The state with what `learn` made of an earlier one: a caller that decides while it learns loses neither."""
    if taught.sizing is None or taught.sizing is state.sizing:
        return state
    return replace(state, sizing=taught.sizing, margin=state.margin.at_a_fit(is_first=state.sizing is None))


ENTRY = PolicyEntry(
    name="leadtime",
    summary="replicas for the demand that will be there when a pod asked for now is ready",
    source="this project, policies/predictive/decide.py",
    spec=PredictiveSpec,
    knob="attainment",
    build=predictive_policy,
)
