"""The CustomResourceDefinition: names, schema, and what `kubectl get` shows."""

from typing import Any

import yaml

from autoscaler.crd.rule import cel_text, validation
from autoscaler.crd.schema import Json, ranges_in_cel, structural
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.crd.status import PredictiveAutoscalerStatus

GROUP = "autoscaling.leadtime.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "PredictiveAutoscaler"
PLURAL = "predictiveautoscalers"

_LONGEST_NAME = 63
"""Characters of a label's value: an HPA selects the published need by the object's name."""

_COLUMNS = (  # name, type, path, priority: 0 is always shown, 1 with `-o wide`
    ("Target", "string", ".spec.scaleTargetRef.name", 0),
    ("Mode", "string", ".spec.mode", 0),
    ("Desired", "integer", ".status.desiredReplicas", 0),
    ("Replicas", "integer", ".status.currentReplicas", 0),
    ("Ready", "integer", ".status.readyReplicas", 0),
    ("Demand", "number", ".status.demand.requestsPerSecond", 0),
    ("Reason", "string", ".status.reason", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Min", "integer", ".spec.minReplicas", 1),
    ("Max", "integer", ".spec.maxReplicas", 1),
    ("Ahead", "number", ".status.forecast.aheadReplicas", 1),
    ("Lead Time", "number", ".status.forecast.leadTimeSeconds", 1),
    ("Backlog", "number", ".status.demand.backlogRequests", 1),
    ("Paused", "boolean", ".status.paused", 1),
    ("Cost", "number", ".status.hourlyCost", 1),
    ("Message", "string", ".status.message", 1),
)


def custom_resource_definition() -> Json:
    """The whole object (apiextensions.k8s.io/v1)."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["pa"],
                "categories": ["autoscaling"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*each) for each in _COLUMNS],
                    "schema": {"openAPIV3Schema": object_schema()},
                }
            ],
        },
    }


def object_schema() -> Json:
    """The schema of one object: spec and status."""
    return {
        "type": "object",
        "description": "Scales one workload for the demand that will be there when the capacity arrives.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": ranges_in_cel(structural(PredictiveAutoscalerSpec)),
            "status": structural(PredictiveAutoscalerStatus),
        },
        "x-kubernetes-validations": [
            validation(
                f"self.metadata.name.size() <= {_LONGEST_NAME}",
                '"metadata.name: was " + self.metadata.name + '
                + cel_text(f", must have at most {_LONGEST_NAME} characters; shorten it"),
            )
        ],
    }


def manifest() -> str:
    """The object as the YAML of manifests/controller/base/crd.yaml."""
    head = (
        "# Generated from the models in autoscaler/crd: python -m autoscaler.crd > manifests/controller/base/crd.yaml\n"
    )
    return head + yaml.dump(custom_resource_definition(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def _column(name: str, kind: str, path: str, priority: int) -> Json:
    column: Json = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice: an anchor is harder to read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True
