"""Discovery as kubectl asks for it: one document with the resources of all groups.

Source: client-go v0.36.3, discovery/discovery_client.go.
"""

from kube_api import Api, Object

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2_BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
DISCOVERY = f"{V2},{V2_BETA1},application/json"
"""The header Accept of kubectl 1.30 and later."""


def group_versions(discovery: Object) -> dict[str, Object]:
    """GROUP/VERSION -> its entry in an APIGroupDiscoveryList."""
    return {
        f"{group['metadata']['name']}/{entry['version']}": entry
        for group in discovery["items"]
        for entry in group["versions"]
    }


def freshness(api: Api) -> dict[str, str]:
    """GROUP/VERSION -> Current or Stale (its server could not be asked of late)."""
    reply = api.send("GET", "/apis", headers={"Accept": DISCOVERY})
    return {name: entry["freshness"] for name, entry in group_versions(reply.json()).items()}
