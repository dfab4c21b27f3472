"""The HPA as a policy: one sync, and its decision in words.

Source: pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler), v1.36.3.
"""

from policies.decision import Decision
from policies.hpa.explanation import explain
from policies.hpa.spec import HPASpec
from policies.hpa.state import HPAState
from policies.hpa.sync import propose, rescaled
from policies.hpa.validation import validate
from policies.policy import Policy
from policies.snapshot import Snapshot


def decide(spec: HPASpec, state: HPAState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, HPAState]:
    """One sync of the HPA controller, the write of the scale taken to succeed.

    snapshot.observations: the answer to each `MetricSpec.query`; a query without one counts as failed.
    The state to start from is `HPAState()`; the one returned goes into the next call. A caller whose write
    of the scale fails uses `sync.propose` and `sync.rescale_failed` instead.
    """
    proposal, state = propose(spec, state, snapshot, now_ns)
    if proposal.rescale:
        state = rescaled(spec, state, proposal, now_ns)
    return explain(spec, proposal), state


def hpa_policy(spec: HPASpec, name: str = "hpa") -> Policy[HPASpec, HPAState]:
    """The HPA as a policy value. Raises BadInput where the API server would refuse the spec."""
    validate(spec)
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=HPAState(),
        queries=tuple(dict.fromkeys(metric.query for metric in spec.metrics)),
    )
