"""A pod as the API server shows it."""

from policies.snapshot import NS_PER_SECOND, Container, Pod
from simulations.fleet.pod import SimulatedPod

_CONTAINERS = (Container(name="vllm", requests_milli={"cpu": 1000}),)
"""What every simulated pod runs: its CPU request makes the Resource metric `cpu` a utilization."""


def api_pod(pod: SimulatedPod, *, now_seconds: float, start_ns: int) -> Pod:
    """Now. A pod whose container waits for its back-off is Running: it has been started once, and will be again.

    start_ns: Unix time at which the run began.
    """
    ready = pod.row is not None
    started = pod.first_starts <= now_seconds

    def ns(seconds: float) -> int:
        return start_ns + round(seconds * NS_PER_SECOND)

    return Pod(
        name=pod.name,
        phase="Running" if started else "Pending",
        ready="True" if ready else "False",
        created_ns=ns(pod.created),
        start_ns=ns(pod.starts if pod.starts <= now_seconds else pod.first_starts) if started else None,
        ready_transition_ns=ns(pod.ready_at if ready else pod.unready_since),
        deleting=pod.deleted is not None,
        containers=_CONTAINERS,
    )
