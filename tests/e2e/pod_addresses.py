"""Every pod has an address of its own: kwok v0.7.0 once gave two pods of a Deployment the same one."""

import time
from collections import Counter

from kube_api import Api

POLL_SECONDS = 0.2


def wait_own_addresses(api: Api, namespace: str, *, timeout_seconds: float = 30.0) -> None:
    """Until no pod of the namespace shares its address with any other; one that does is made anew by its controller.

    Raises TimeoutError.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        pods = [pod for pod in api.get("/api/v1/pods")["items"] if not pod["metadata"].get("deletionTimestamp")]
        addresses = Counter(pod["status"].get("podIP") for pod in pods)
        sharing = [
            pod["metadata"]["name"]
            for pod in pods
            if pod["metadata"]["namespace"] == namespace
            and pod["status"].get("podIP")
            and addresses[pod["status"]["podIP"]] > 1
        ]
        if not sharing:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{namespace}: pods share an address after {timeout_seconds:g} s: {sharing}")
        api.delete(f"/api/v1/namespaces/{namespace}/pods/{sharing[0]}")
        time.sleep(POLL_SECONDS)
