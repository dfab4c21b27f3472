"""A pod as the API server shows it."""

from functools import lru_cache

from policies.snapshot import NS_PER_SECOND, Container, Pod
from simulations.fleet.pod import SimulatedPod

_CONTAINERS = (Container(name="vllm", requests_milli={"cpu": 1000}),)
"""What every simulated pod runs: its CPU request makes the Resource metric `cpu` a utilization."""


def api_pod(pod: SimulatedPod, *, now_seconds: float, start_ns: int) -> Pod:
    """Now. A pod whose container waits for its back-off is Running: it has been started once, and will be again.

    start_ns: Unix time at which the run began.
    """
    starts = None
    if pod.first_starts <= now_seconds:
        starts = pod.starts if pod.starts <= now_seconds else pod.first_starts
    return _shown(
        pod.name,
        start_ns,
        created=pod.created,
        starts=starts,
        is_ready=pod.row is not None,
        changed=pod.unready_since if pod.row is None else pod.ready_at,
        is_deleting=pod.deleted is not None,
    )


@lru_cache(maxsize=4_096)
def _shown(
    name: str,
    run_began_ns: int,
    *,
    created: float,
    starts: float | None,
    is_ready: bool,
    changed: float,
    is_deleting: bool,
) -> Pod:
    """Of these values; most pods are as they were at the sync before. Instants are seconds since the run began.

    changed: its Ready condition.
    """

    def ns(seconds: float) -> int:
        return run_began_ns + round(seconds * NS_PER_SECOND)

    return Pod(
        name=name,
        phase="Pending" if starts is None else "Running",
        ready="True" if is_ready else "False",
        created_ns=ns(created),
        start_ns=None if starts is None else ns(starts),
        ready_transition_ns=ns(changed),
        deleting=is_deleting,
        containers=_CONTAINERS,
    )
