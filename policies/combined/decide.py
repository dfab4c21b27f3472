"""What a PredictiveAutoscaler decides: the largest count that demand, plain HPA metrics or a schedule asks for.

    demand (policies/predictive), metrics (policies/hpa), schedules -> the one that decides (wanted.py) -> behavior

What is wanted while demand is not known, wanted.py says. Ignorance never scales down. A workload at 0 replicas was
switched off by someone, since minReplicas is 1 or more, and stays off, as with an HPA.
"""

from dataclasses import replace

from policies.combined.schedule_floor import floor_now
from policies.combined.spec import CombinedSpec
from policies.combined.state import CombinedState
from policies.combined.validation import check, hpa_spec
from policies.combined.wanted import Known, Vote, is_held, votes
from policies.decision import Decision
from policies.hpa.explanation import metric_numbers
from policies.hpa.metrics import MetricsResult, compute_replicas_for_metrics
from policies.policy import Policy
from policies.predictive.behavior import apply_behavior
from policies.predictive.decide import adopt as adopt_predictive
from policies.predictive.decide import learn as learn_predictive
from policies.predictive.decide import queries, spared
from policies.predictive.need import NOT_KNOWN, Need, is_current, recommend
from policies.predictive.sizing import LEARN_PERIOD_SECONDS
from policies.predictive.state import PredictiveState
from policies.snapshot import NS_PER_SECOND, Snapshot


def combined_policy(spec: CombinedSpec, name: str = "leadtime") -> Policy[CombinedSpec, CombinedState]:
    """The rule with its spec checked; raises BadInput."""
    check(spec)
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=CombinedState(),
        queries=tuple(dict.fromkeys((*queries(spec.predictive), *(metric.query for metric in spec.metrics)))),
        learn=learn,
        learn_period_seconds=LEARN_PERIOD_SECONDS,
    )


def decide(spec: CombinedSpec, state: CombinedState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, CombinedState]:
    """Recommend a replica count.

    Decision.numbers: those of the predictive rule while there is a need, those of each metric as an HPA's decision
    has them, and `wanted_replicas` (before bounds and behavior), `known` (1 or 0: demand), `unknown_seconds` (since it
    was known), and where there are such `metrics_replicas`, `schedule_replicas`, `held_replicas`.
    """
    need, predictive = recommend(spec.predictive, state.predictive, snapshot, now_ns)
    unknown = _why_unknown(predictive, need, now_ns)
    known_ns = now_ns if state.known_ns is None or not unknown else state.known_ns
    known = Known(
        present_replicas=snapshot.replicas,
        need=need,
        unknown=unknown,
        unknown_seconds=max(0.0, (now_ns - known_ns) / NS_PER_SECOND),
        last_need_replicas=state.needed_replicas,
        metrics=_ask_metrics(spec, snapshot, now_ns) if spec.metrics else None,
        floor=floor_now(spec.schedules, now_ns),
    )
    state = replace(
        state,
        predictive=predictive,
        needed_replicas=state.needed_replicas if need is None else need.replicas,
        known_ns=known_ns,
    )
    asked = votes(spec, known)
    numbers = _numbers(spec, known, asked[0])
    if snapshot.replicas == 0:
        why = f"scaling is disabled while the scale is 0; set it to {spec.predictive.min_replicas} or more to begin"
        message = f"0 replicas kept: {why}"
        return Decision(desired_replicas=0, reason="ScalingDisabled", message=message, numbers=numbers), state
    desired, reason, scaling = apply_behavior(
        state.scaling,
        behavior=spec.predictive.rules,
        min_replicas=spec.predictive.min_replicas,
        max_replicas=spec.predictive.max_replicas,
        current_replicas=snapshot.replicas,
        wanted_replicas=spared(spec.predictive, predictive, snapshot, asked[0].replicas, now_ns),
        now_ns=now_ns,
        controller=spec.controller,
    )
    if asked[0].part == "present count" and desired == snapshot.replicas:
        reason = "FailedGetPodsMetric" if need is None or known.metrics is None else known.metrics.failed_reason
    message = _sentence(known, asked, desired, reason) + predictive.jump.words(now_ns)
    decision = Decision(desired_replicas=desired, reason=reason, message=message, numbers=numbers)
    return decision, replace(state, scaling=scaling)


def learn(spec: CombinedSpec, state: CombinedState, now_ns: int) -> CombinedState:
    """What the predictive rule learns, when it is due; seconds of work, apart from any decision."""
    taught = learn_predictive(spec.predictive, state.predictive, now_ns)
    return state if taught is state.predictive else replace(state, predictive=taught)


def adopt(state: CombinedState, taught: CombinedState) -> CombinedState:
    """The state with what `learn` made of an earlier one: a caller that decides while it learns loses neither."""
    predictive = adopt_predictive(state.predictive, taught.predictive)
    return state if predictive is state.predictive else replace(state, predictive=predictive)


def _why_unknown(state: PredictiveState, need: Need | None, now_ns: int) -> str:
    """ "" while demand is known: there is a need, or nothing has arrived, waits or runs."""
    if need is not None:
        return ""
    if state.last is None or not is_current(state, now_ns):
        return NOT_KNOWN
    is_idle = state.last.requests_per_second == state.last.backlog == state.last.running == 0
    return "" if is_idle else "demand is not known (no tokens were counted that would tell the requests' sizes)"


def _ask_metrics(spec: CombinedSpec, snapshot: Snapshot, now_ns: int) -> MetricsResult:
    """What an HPA with these metrics alone would compute now, before its windows and limits."""
    return compute_replicas_for_metrics(
        hpa_spec(spec),
        [snapshot.observations.get(metric.query) for metric in spec.metrics],
        snapshot.pods,
        replicas=snapshot.replicas,
        status_replicas=snapshot.replicas if snapshot.status_replicas is None else snapshot.status_replicas,
        now_ns=now_ns,
    )


def _numbers(spec: CombinedSpec, known: Known, decides: Vote) -> dict[str, float]:
    numbers = {} if known.metrics is None else metric_numbers(hpa_spec(spec), known.metrics)
    if known.need is not None:
        numbers.update(known.need.numbers)
    if known.metrics is not None and known.metrics.replicas is not None:
        numbers["metrics_replicas"] = float(known.metrics.replicas)
    if known.floor is not None:
        numbers["schedule_replicas"] = float(known.floor.min_replicas)
    if is_held(spec, known) and known.last_need_replicas is not None:
        numbers["held_replicas"] = float(known.last_need_replicas)
    return {
        **numbers,
        "wanted_replicas": float(decides.replicas),
        "known": 0.0 if known.unknown else 1.0,
        "unknown_seconds": known.unknown_seconds,
    }


def _sentence(known: Known, asked: tuple[Vote, ...], desired: int, reason: str) -> str:
    """The change, the part that decides and why, what the others ask for, and what behavior made of it."""
    decides, *others = asked
    kept = desired == known.present_replicas
    sentence = f"{desired} replicas kept" if kept else f"{known.present_replicas} -> {desired} replicas"
    sentence += f": {decides.words}"
    beside = [f"{vote.part} {vote.replicas}" for vote in others if vote.part != "present count"]
    if beside:
        sentence += f"; others: {', '.join(beside)}"
    if desired != decides.replicas:
        sentence += f"; {reason} at {desired}"
    return sentence
