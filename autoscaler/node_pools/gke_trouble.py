"""What Google's answers mean: which are waits, which are states of the cloud, and which need a person.

Codes: google.rpc.code; StatusCondition.Code of container v1 (GCE_STOCKOUT, GCE_QUOTA_EXCEEDED); Compute Engine's
ZONE_RESOURCE_POOL_EXHAUSTED. As the API words them: "Operation ... is currently upgrading cluster ... Please wait and
try again once it is done" (FAILED_PRECONDITION, hashicorp/terraform-provider-google#3650), "hits the concurrent
operations quota" (RESOURCE_EXHAUSTED, #15579), and a lack of quota that is told as PERMISSION_DENIED: "Insufficient
regional quota to satisfy request" (GoogleCloudPlatform/k8s-config-connector#321).
"""

from collections.abc import Iterable

from autoscaler.node_pools.provider import ProviderState

RIGHTS = "container.clusters.get, container.clusters.update and container.operations.get"
_SHOWN = 300  # characters of what the cloud said
_STOCKOUT_WORDS = (
    "GCE_STOCKOUT",
    "RESOURCE_POOL_EXHAUSTED",
    "does not have enough resources",
    "resource_availability",
    "is currently unavailable in the",
)
_QUOTA_WORDS = ("GCE_QUOTA_EXCEEDED", "QUOTA_EXCEEDED", "insufficient regional quota", "exceeded quota", "quota '")
_BUSY_WORDS = ("operation", "is currently", "being ", "try again")


class GkeTrouble(Exception):
    """A call or an operation that came to nothing. state Resizing: something else is under way, nothing is wrong."""

    def __init__(self, state: ProviderState, message: str) -> None:
        super().__init__(f"{state}: {message}")
        self.state: ProviderState = state
        self.message = message


def trouble_of_call(code: str, said: str, where: str) -> GkeTrouble:
    """Of a call that was refused. code: gRPC's name, such as FAILED_PRECONDITION. where: the resource's path."""
    said = said[:_SHOWN]
    lack = lack_of([said])
    if code == "FAILED_PRECONDITION" and _has(said, _BUSY_WORDS):
        return GkeTrouble("Resizing", f"another operation is under way in the cluster ({said})")
    if code == "RESOURCE_EXHAUSTED" and "operations quota" in said:
        return GkeTrouble("Resizing", f"too many operations are under way in the cluster ({said})")
    if lack is not None:
        return GkeTrouble(lack, _lacking(lack, said))
    if code == "RESOURCE_EXHAUSTED":
        return GkeTrouble("Unreachable", f"the GKE API throttles this project ({said})")
    if code == "PERMISSION_DENIED":
        return GkeTrouble(
            "Refused", f"{where}: may not be read or written ({said}); grant the controller's identity {RIGHTS} there"
        )
    if code == "UNAUTHENTICATED":
        return GkeTrouble("Refused", f"the GKE API does not know us ({said}); run under Workload Identity")
    if code == "NOT_FOUND":
        return GkeTrouble(
            "Refused", f"{where}: is not there ({said}); correct gke.project, location, cluster, nodePool"
        )
    if code in ("FAILED_PRECONDITION", "INVALID_ARGUMENT", "OUT_OF_RANGE", "UNIMPLEMENTED"):
        return GkeTrouble("Refused", f"{where}: the GKE API refused it ({said}); mend what it names")
    return GkeTrouble("Unreachable", f"the GKE API gave no answer: {code} ({said})")


def trouble_of_operation(name: str, code: int, said: Iterable[str]) -> GkeTrouble | None:
    """Of an operation that is over. code: of its error, 0 for none. said: its error, conditions and status message."""
    texts = [text for text in said if text]
    lack = lack_of(texts)
    told = "; ".join(dict.fromkeys(texts))[:_SHOWN]
    if lack is not None:
        return GkeTrouble(lack, _lacking(lack, told))
    if not code:
        return None
    return GkeTrouble("Refused", f"operation {name} failed ({told}); see gcloud container operations describe {name}")


def lack_of(texts: Iterable[str]) -> ProviderState | None:
    """What the cloud says that it lacks. A stockout first: its messages may speak of quota as well."""
    texts = list(texts)
    if any(_has(text, _STOCKOUT_WORDS) for text in texts):
        return "StockedOut"
    if any(_has(text, _QUOTA_WORDS) for text in texts):
        return "QuotaExceeded"
    return None


def _lacking(state: ProviderState, said: str) -> str:
    if state == "StockedOut":
        return f"the cloud has no such machine left here at present ({said}); other zones or another pool may have"
    return f"the project's quota is used up ({said}); ask for more quota, or lower maxNodes"


def _has(text: str, words: Iterable[str]) -> bool:
    return any(word.lower() in text.lower() for word in words)
