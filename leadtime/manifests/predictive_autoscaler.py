"""PredictiveAutoscaler -> the policy that the controller decides by, from the same spec by the same code.

Mode, node pools and cost change what is done about a decision, not the decision. podDeletionCost goes with the policy:
a simulated scale-down heeds it.
"""

import re
from typing import Any

from autoscaler.crd.build import combined_spec
from autoscaler.crd.custom_resource import API_VERSION
from autoscaler.crd.parse import parse_spec
from leadtime.manifests.document import Document, Located
from leadtime.manifests.fields import Fields
from policies.combined.decide import combined_policy
from policies.errors import BadInput
from policies.policy import Policy

_STEP = re.compile(r"[^.\[\]]+")


def predictive_autoscaler_policy(document: Document) -> Policy[Any, Any]:
    """The policy of a PredictiveAutoscaler. Raises one BadInput with every fault, each with its line."""
    top = Fields.of(document)
    top.accept("kind", "status")
    version = top.text("apiVersion", required=True)
    if version and version != API_VERSION:
        top.problem("apiVersion", f"was {version!r}, must be {API_VERSION}")
    top.metadata()
    top.child("spec", required=True)
    top.done()
    top.problems.raise_any()
    try:
        return combined_policy(combined_spec(parse_spec(document.content["spec"])), document.name or document.path.stem)
    except BadInput as error:
        raise BadInput("\n".join(_located(document, fault) for fault in str(error).splitlines())) from error


def _located(document: Document, fault: str) -> str:
    """fault: `spec.slo.tpotSeconds: was ...`; with the line of that field, or of the nearest one around it."""
    at: Any = document.content
    line = document.line
    for step in _STEP.findall(fault.partition(":")[0]):
        if isinstance(at, Located) and step in at:
            line, at = at.lines.get(step, line), at[step]
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            break
    return f"{document.path}:{line}: {fault}"
