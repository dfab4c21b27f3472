"""Batch jobs: many requests at once, served after all others, with a deadline for the job."""

from collections.abc import Sequence

import numpy as np

from policies.errors import BadInput
from simulations.demand.drawn import START_NS, Lengths
from simulations.trace import Trace

LOW_PRIORITY = 10
"""Online requests have 0, and smaller is served first."""


def batch_jobs(
    at_seconds: Sequence[float],
    *,
    requests: int,
    deadline_seconds: float,
    lengths: Lengths,
    submit_seconds: float = 0.0,
    priority: int = LOW_PRIORITY,
    seconds: float | None = None,
    name: str = "batch",
    seed: int = 1,
    start_ns: int = START_NS,
) -> Trace:
    """One job at each of `at_seconds`, of `requests` requests. Raises BadInput.

    submit_seconds: over which a job's requests are submitted, evenly. deadline_seconds: from the job's start to the end
    of its last answer, so a request that is submitted later has less left. seconds: end of the demand; None for the
    last deadline.
    """
    starts = np.sort(np.array(at_seconds, np.float64))
    for field, value, low, high in (
        ("jobs", len(starts), 1, 1_000_000),
        ("requests", requests, 1, 10_000_000),
        ("requests in all", len(starts) * requests, 1, 100_000_000),
        ("first job in seconds", starts[0] if len(starts) else 0.0, 0, 1e9),
        ("deadline_seconds", deadline_seconds, 1e-3, 1e9),
        ("submit_seconds", submit_seconds, 0, deadline_seconds * (1 - 1e-9)),
        ("priority", priority, -(2**31), 2**31 - 1),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field}: was {value:g}, must be in [{low:g}, {high:g}]")
    offsets = np.arange(requests) * (submit_seconds / requests)
    arrivals = (starts[:, None] + offsets).ravel()
    limits = np.tile(deadline_seconds - offsets, len(starts))
    order = np.argsort(arrivals, kind="stable")
    arrivals, limits = arrivals[order], limits[order]
    ends = float(starts[-1]) + deadline_seconds if seconds is None else seconds
    if arrivals[-1] > ends:
        raise BadInput(
            f"seconds: was {ends:g}, must be at least {arrivals[-1]:g}, when the last request of a job is submitted"
        )
    sampler = lengths.sampler(seed, np.zeros(1, np.int64))
    prompts, outputs = sampler.draw(arrivals, np.zeros(len(arrivals), np.int32))
    return Trace(
        name,
        start_ns,
        arrivals,
        prompts,
        outputs,
        priority=np.full(len(arrivals), priority, np.int32),
        e2e_limit_seconds=limits,
        ends_seconds=ends,
    )
