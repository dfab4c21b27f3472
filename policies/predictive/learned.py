"""What the rule has learned and cannot learn again at once from past demand: for a caller that keeps it over a restart.

A search for weights takes seconds a workload, the margin and which requests miss take days of service, the work that
requests are takes hours.
"""

from dataclasses import dataclass, field, replace

from policies.predictive.load_traits import TRAITS
from policies.predictive.margin import Margin
from policies.predictive.miss_model import MissModel
from policies.predictive.sizing import Sizing
from policies.predictive.spec import PredictiveSpec
from policies.predictive.state import PredictiveState
from policies.predictive.work_factor import WorkFactor


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedFor:
    """What it was learned under, and holds for alone. profile: its name. traits: what the weights are of, in order."""

    profile: str
    tpot_seconds: float
    ttft_seconds: float
    attainment: float
    traits: tuple[str, ...] = TRAITS

    @classmethod
    def of(cls, spec: PredictiveSpec) -> "LearnedFor":
        return cls(
            profile=spec.profile.name,
            tpot_seconds=spec.tpot_seconds,
            ttft_seconds=spec.ttft_seconds,
            attainment=spec.attainment,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """Of one workload."""

    under: LearnedFor
    sizing: Sizing
    margin: Margin
    misses: MissModel
    work: WorkFactor = field(default_factory=WorkFactor)


def learned_of(spec: PredictiveSpec, state: PredictiveState) -> Learned | None:
    """None while the prior decides."""
    if state.sizing is None:
        return None
    return Learned(
        under=LearnedFor.of(spec), sizing=state.sizing, margin=state.margin, misses=state.misses, work=state.work
    )


def with_learned(spec: PredictiveSpec, state: PredictiveState, learned: Learned) -> PredictiveState:
    """The state as it would go on; unchanged where it has learned itself meanwhile, or by another spec."""
    if state.sizing is not None or learned.under != LearnedFor.of(spec):
        return state
    if len(learned.sizing.weights) != len(TRAITS) or not learned.misses.is_whole:
        return state
    return replace(state, sizing=learned.sizing, margin=learned.margin, misses=learned.misses, work=learned.work)
