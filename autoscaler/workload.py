"""One PredictiveAutoscaler in memory: its policy, with all that it has learned, through every change of its spec."""

from collections.abc import Iterator
from dataclasses import replace

from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.build import combined_spec
from autoscaler.crd.spec import PredictiveAutoscalerSpec, ScaleTargetRef
from autoscaler.forecast import Forecast, followed, forecast
from policies.combined.backfill import with_past
from policies.combined.decide import adopt, combined_policy
from policies.combined.learned_json import learned_json, with_learned_json
from policies.combined.spec import CombinedSpec
from policies.combined.state import CombinedState
from policies.policy import Running
from policies.predictive.band import BandState
from policies.predictive.margin import Margin
from policies.predictive.state import PredictiveState

DecidingPolicy = Running[CombinedSpec, CombinedState]


class Workload:
    """running: decides. target: whose demand was learned. needs_history: its past is still to be read from where it was
    kept. learn_after_ns: when learning is due; None for at once. kept_ns: when what was learned was kept; None while
    there is something new. band: of demand one lead time ahead; it tells people, and no decision goes by it.
    """

    def __init__(self, key: Key, uid: str, target: ScaleTargetRef, spec: CombinedSpec) -> None:
        self.key = key
        self.uid = uid
        self.target = target
        self.running: DecidingPolicy = Running.start(combined_policy(spec))
        self.needs_history = True
        self.learn_after_ns: int | None = None
        self.kept_ns: int | None = None
        self.band = BandState()
        self._source: PredictiveAutoscalerSpec | None = None

    @property
    def spec(self) -> CombinedSpec:
        return self.running.policy.spec

    def follow(self, source: PredictiveAutoscalerSpec) -> None:
        """Decide by this spec from now on; what was learned and still holds is kept. Raises BadInput."""
        if source is self._source:
            return
        after = combined_spec(source)
        before = self.spec
        if after != before:
            state = carried(self.running.state, before, after)
            self.running = Running(combined_policy(after), state)
            if measures_load_differently(before, after):
                self.needs_history = True
                self.band = BandState()
            if state.predictive.sizing is None:
                self.learn_after_ns = None
        self._source = source

    def learned(self, taught: CombinedState) -> bool:
        """Take what was learned apart from the decisions, from an earlier state of this spec; whether it was news."""
        state = adopt(self.running.state, taught)
        is_news = state is not self.running.state
        self.running.state = state
        if is_news:
            self.kept_ns = None
        return is_news

    def go_on(self, text: str) -> bool:
        """With what was learned before a restart, as `what_was_learned` gave it; whether it holds for this spec. Raises
        BadInput."""
        before = self.running.state
        self.running.state = with_learned_json(self.spec, before, text)
        return self.running.state is not before

    def what_was_learned(self) -> str:
        """ "" while nothing was."""
        return learned_json(self.spec, self.running.state)

    def remember(self, past: CombinedState) -> None:
        """Put a past before what was seen; made for this very spec. It can be learned from at once."""
        self.running.state = with_past(self.running.state, past)
        self.learn_after_ns = None

    def forecast(self, now_ns: int) -> Forecast | None:
        """Demand one lead time ahead, by all that was observed until now; None while it cannot be told."""
        self.band = followed(self.band, self.spec, self.running.state)
        return forecast(self.band, self.spec, self.running.state, now_ns)

    def take_back_scale_event(self, before: CombinedState, decided: CombinedState) -> CombinedState:
        """What the decision, made from `before`, leaves where its change was not made: that must not count towards the
        limits of later ones, as the HPA counts what it wrote (horizontal.go, reconcileAutoscaler: storeScaleEvent
        after the update). decided: the state after the decision; something may have been learned since."""
        left = without_scale_event(decided, before)
        state = self.running.state
        self.running.state = left if state is decided else without_scale_event(state, before)
        return left


class Workloads:
    """Those that are decided about, by key."""

    def __init__(self) -> None:
        self._of: dict[Key, Workload] = {}

    def current(self, autoscaler: Autoscaler) -> Workload:
        """The object's, as its spec wants it now. Raises BadInput. An object of the same name made anew, or one that
        scales another workload now, knows nothing."""
        source = autoscaler.spec
        assert source is not None, f"{autoscaler.key}: a spec that cannot be read has no workload"
        found = self._of.get(autoscaler.key)
        if found is None or (found.uid, found.target) != (autoscaler.uid, source.scale_target_ref):
            spec = combined_spec(source)
            found = Workload(autoscaler.key, autoscaler.uid, source.scale_target_ref, spec)
            self._of[autoscaler.key] = found
        found.follow(source)
        return found

    def get(self, key: Key) -> Workload | None:
        return self._of.get(key)

    def forget(self, key: Key) -> None:
        self._of.pop(key, None)

    def __iter__(self) -> Iterator[Workload]:
        return iter(tuple(self._of.values()))


def carried(state: CombinedState, before: CombinedSpec, after: CombinedSpec) -> CombinedState:
    """What stays true of a state when the spec changes; bounds, behavior, metrics and schedules touch nothing learned.

    Load is counted in replicas as the profile and the TPOT target size them: with others, its history is in other
    units. What a replica may be given was learned for the promise made (attainment and TTFT): with another one, it
    is learned again from the same history.
    """
    was, now = before.predictive, after.predictive
    predictive = state.predictive
    if measures_load_differently(before, after):
        predictive = PredictiveState(
            demand=predictive.demand,
            last=predictive.last,
            lead_times=predictive.lead_times,
            lead_time_seconds=predictive.lead_time_seconds,
        )
        return replace(state, predictive=predictive, needed_replicas=None)
    if (was.attainment, was.ttft_seconds) != (now.attainment, now.ttft_seconds):
        predictive = replace(predictive, sizing=None, margin=Margin())
    return replace(state, predictive=predictive)


def measures_load_differently(before: CombinedSpec, after: CombinedSpec) -> bool:
    was, now = before.predictive, after.predictive
    return (was.profile, was.tpot_seconds) != (now.profile, now.tpot_seconds)


def without_scale_event(after: CombinedState, before: CombinedState) -> CombinedState:
    scaling = replace(
        after.scaling,
        scale_up_events=before.scaling.scale_up_events,
        scale_down_events=before.scaling.scale_down_events,
    )
    return replace(after, scaling=scaling)
