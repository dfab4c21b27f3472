"""A PredictiveAutoscaler's state as if past demand had been observed (policies/predictive/backfill.py)."""

from dataclasses import replace

from policies.combined.spec import CombinedSpec
from policies.combined.state import CombinedState
from policies.predictive import backfill
from policies.predictive.backfill import Samples, Taken


def begun(spec: CombinedSpec, samples: Samples, until_ns: int | None = None) -> tuple[CombinedState, Taken]:
    """The state to start from after these samples, ready to learn from, and what became of them.

    Windows and events of scaling begin anew, as after a restart of the HPA's controller: the first decision counts
    the present scale as a recommendation.
    """
    predictive, taken = backfill.begun(spec.predictive, samples, until_ns)
    return CombinedState(predictive=predictive), taken


def with_past(state: CombinedState, past: CombinedState) -> CombinedState:
    """A state that already decides, with a past that became known meanwhile put before what it has seen itself."""
    return replace(state, predictive=backfill.with_past(state.predictive, past.predictive))
