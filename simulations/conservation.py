"""Nothing is made and nothing is lost: what the requests say and what the servers and pods say must agree.

A disagreement is a mistake of the simulator, never of what a person typed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulations.results.totals import RequestTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetAccounts:
    """The same run from the side of the fleet, at its end.

    requests: that the demand gave, never sent ones included.
    requests_inside: running, waiting, at the gateway or on their way.
    generation_tokens: by the servers' own counters, of every server that ever was.
    restarted_tokens: of them, those of attempts that were begun again from nothing on another server.
    preemptions: by the servers' own counters; None where requests do not note theirs.
    gpu_seconds: as billed; pod_gpu_seconds: of each pod, within the same horizon.
    kv_blocks, free_kv_blocks: of the servers that still are.
    """

    requests: int
    requests_inside: int
    generation_tokens: int
    restarted_tokens: int = 0
    preemptions: int | None = None
    gpu_seconds: float
    pod_gpu_seconds: Sequence[float]
    kv_blocks: int
    free_kv_blocks: int


def check_conservation(requests: RequestTotals, fleet: FleetAccounts) -> None:
    """Raise AssertionError naming everything that does not add up."""
    problems = list(_problems(requests, fleet))
    if problems:
        raise AssertionError("not conserved: " + "; ".join(problems))


def _problems(requests: RequestTotals, fleet: FleetAccounts) -> Iterator[str]:
    ended_or_not = sum(requests.outcomes)
    if ended_or_not != fleet.requests:
        yield f"requests: {ended_or_not:,} have an outcome, the demand gave {fleet.requests:,}"
    pending = requests.count("pending")
    if pending != fleet.requests_inside:
        yield f"requests: {pending:,} are pending, the fleet holds {fleet.requests_inside:,}"
    if requests.good > requests.count("served"):
        yield f"requests: {requests.good:,} were good, only {requests.count('served'):,} were served"
    kept = requests.served_output_tokens + requests.lost_output_tokens + fleet.restarted_tokens
    # A pending request's tokens are booked when it leaves its slot: until then the servers know of more.
    if kept != fleet.generation_tokens and not (pending and kept < fleet.generation_tokens):
        yield (
            f"generation tokens: {requests.served_output_tokens:,} served + {requests.lost_output_tokens:,} lost + "
            f"{fleet.restarted_tokens:,} restarted = {kept:,}, the servers counted {fleet.generation_tokens:,}"
        )
    if requests.cached_tokens > requests.served_prompt_tokens:
        yield (
            f"cached tokens: {requests.cached_tokens:,} of {requests.served_prompt_tokens:,} prompt tokens, "
            "must be no more"
        )
    if fleet.preemptions is not None and requests.preemptions != fleet.preemptions:
        yield f"preemptions: requests suffered {requests.preemptions:,}, the servers counted {fleet.preemptions:,}"
    pods = math.fsum(fleet.pod_gpu_seconds)
    if not math.isclose(pods, fleet.gpu_seconds, rel_tol=1e-9, abs_tol=1e-6):
        yield f"GPU-seconds: the pods' sum to {pods!r}, billed are {fleet.gpu_seconds!r}"
    if not fleet.requests_inside and fleet.free_kv_blocks != fleet.kv_blocks:
        yield f"KV blocks: {fleet.kv_blocks - fleet.free_kv_blocks:,} of {fleet.kv_blocks:,} are held by nobody"
