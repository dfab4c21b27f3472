"""The HorizontalPodAutoscaler (autoscaling/v2) of Kubernetes 1.36.3, bit for bit, as pure functions.

`decide` is one sync of the controller; `hpa_policy` makes it a Policy. The golden vectors in
tests/conformance say what "bit for bit" means.
"""

from policies.hpa.conditions import Condition, Conditions
from policies.hpa.decide import decide, hpa_policy
from policies.hpa.defaults import default_behavior, scale_down_rules, scale_up_rules
from policies.hpa.quantity import Quantity, parse_quantity
from policies.hpa.spec import (
    Behavior,
    ControllerOptions,
    HPASpec,
    MetricSpec,
    ScalingPolicy,
    ScalingRules,
)
from policies.hpa.state import HPAState, Recommendation, ScaleEvent
from policies.hpa.sync import Proposal, propose, rescale_failed, rescaled, scale_unreadable
from policies.hpa.validation import validate

__all__ = [
    "Behavior",
    "Condition",
    "Conditions",
    "ControllerOptions",
    "HPASpec",
    "HPAState",
    "MetricSpec",
    "Proposal",
    "Quantity",
    "Recommendation",
    "ScaleEvent",
    "ScalingPolicy",
    "ScalingRules",
    "decide",
    "default_behavior",
    "hpa_policy",
    "parse_quantity",
    "propose",
    "rescale_failed",
    "rescaled",
    "scale_down_rules",
    "scale_unreadable",
    "scale_up_rules",
    "validate",
]
