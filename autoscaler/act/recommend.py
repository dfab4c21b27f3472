"""Mode Recommend: nothing is written; status, events and metrics say what would have been."""

from autoscaler.act.result import ActResult
from autoscaler.observe.scale import Scale
from autoscaler.outcome import Acted
from policies.decision import Decision


def act(scale: Scale, decision: Decision) -> ActResult:
    """Nothing; where the decision differs from what is asked for now, that is said."""
    if decision.desired_replicas == scale.replicas:
        return ActResult()
    return ActResult(
        acted=Acted(
            withheld="mode Recommend writes nothing: "
            f"{scale.replicas} -> {decision.desired_replicas} replicas is advice"
        )
    )
