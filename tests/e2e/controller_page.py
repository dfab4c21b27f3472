"""What a replica of the controller tells of itself, by its page's JSON."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from kube_api import Object
from pod_process import PodProcess

TIMEOUT_SECONDS = 5.0  # as the kubelet gives its liveness probe
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ControllerPage:
    """identity: as in the Lease. leader: whom it takes for the leader. leads: whether it may write now.

    faults: what is in its way. known_at: when it last
    decided about each object, by namespace and name, with its demand known; seconds since the epoch.
    """

    identity: str
    leader: str
    leads: bool
    faults: tuple[str, ...]
    known_at: Mapping[tuple[str, str], float]

    @classmethod
    def of(cls, replica: PodProcess) -> Self:
        """Raises OSError where it does not answer within TIMEOUT_SECONDS."""
        told: Object = json.loads(answer(replica, "/api/v1/autoscalers"))
        own = told["controller"]
        known_at = {
            (row["namespace"], row["name"]): row["at"]
            for row in told["items"]
            if row["demandRequestsPerSecond"] is not None
        }
        return cls(own["identity"], own["leader"], own["isLeader"], tuple(own["faults"]), known_at)

    def says(self, text: str) -> bool:
        """Whether a fault has this text."""
        return any(text in fault for fault in self.faults)


def answer(replica: PodProcess, path: str) -> str:
    """Raises OSError where there is none, or another than 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{replica.port}{path}", timeout=TIMEOUT_SECONDS) as reply:
        text: str = reply.read().decode()
    return text


def wait_page(
    replica: PodProcess, until: Callable[[ControllerPage], object], what: str, *, seconds: float = 30.0
) -> ControllerPage:
    """Until until(page) is true. Raises AssertionError with the last page."""
    deadline = time.monotonic() + seconds
    while not until(page := ControllerPage.of(replica)):
        assert time.monotonic() < deadline, f"{replica.name}: {what}: not within {seconds:g} s; {page}"
        time.sleep(POLL_SECONDS)
    return page
