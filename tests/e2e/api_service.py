"""APIServices: when the API server serves one by its extension server, and not only says that it could."""

from kube_api import Api, Object


def api_service_path(name: str) -> str:
    """name: the APIService's, such as v1beta1.external.metrics.k8s.io."""
    return f"/apis/apiregistration.k8s.io/v1/apiservices/{name}"


def is_available(api_service: Object) -> bool:
    conditions = api_service.get("status", {}).get("conditions", [])
    return any(entry["type"] == "Available" and entry["status"] == "True" for entry in conditions)


def wait_served(api: Api, name: str, *, timeout_seconds: float = 30.0) -> None:
    """Until it is Available and a request passes.

    The condition is written first; the API server's own proxy reads it from a watch, and until then it answers 503
    (kube-aggregator, pkg/apiserver/handler_proxy.go, serviceAvailable). Raises TimeoutError.
    """
    api.wait(api_service_path(name), is_available, timeout_seconds=timeout_seconds)
    version, group = name.split(".", 1)
    api.wait(f"/apis/{group}/{version}", lambda seen: "resources" in seen, timeout_seconds=timeout_seconds)
