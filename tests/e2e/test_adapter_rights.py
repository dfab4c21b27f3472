"""No right of the adapter's ServiceAccount is there in vain: without any of them something breaks, and says so."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from adapter_in_cluster import BASE, Adapter
from adapter_manifests import built, one
from binaries import Unavailable
from control_plane import ControlPlane
from kube_api import Object

pytestmark = pytest.mark.e2e

METRIC = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/vllm:num_requests_waiting"
SECRETS = "/api/v1/namespaces/leadtime-system/secrets"
SECRET = "leadtime-adapter-serving"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """A right taken away: a binding, or a verb on a resource from a role.

    said: what the log says then. ready: whether the pod is Ready all the same. status: of a reader's request for a
    metric through the API server, where there is no value yet: 404 is as it should be.
    """

    kind: str
    name: str
    resource: str = ""
    verb: str = ""
    said: str
    ready: bool
    status: int

    def taken(self, objects: list[Object]) -> list[Object]:
        """The objects without it."""
        left = copy.deepcopy(objects)
        lacking = one(left, self.kind, self.name)
        if not self.resource:
            return [item for item in left if item is not lacking]
        for rule in lacking["rules"]:
            if self.resource in rule["resources"] and self.verb in rule["verbs"]:
                rule["resources"].remove(self.resource)
        lacking["rules"] = [rule for rule in lacking["rules"] if rule["resources"]]
        return left


LACKS = {}


@pytest.fixture(scope="module")
def plane(start_control_plane: Callable[..., ControlPlane]) -> Iterator[ControlPlane]:
    with start_control_plane() as plane:
        yield plane
