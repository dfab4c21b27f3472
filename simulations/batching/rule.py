"""What the compiled code is told of a server: when a batch begins, and how many may run at once."""

import math
from dataclasses import dataclass
from typing import Protocol

FIXED, DYNAMIC, COLLECTING = range(3)
"""Whose rule it is: fixed.py, dynamic.py (Triton) or collecting.py (TorchServe)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One server's batching.

    instances: batches that may run at once. max_batch_size: requests in one. delay_seconds: how long a batch may wait
    for more requests. pads: a batch takes as long as a full one. max_queue_size: requests that may wait outside of
    any batch, 0 for no limit; one more is refused. timeout_seconds: a request that has waited longer when the batcher
    looks at it is refused.

    Of dynamic batching only: preferred_batch_sizes, and prefetches: whether batches are formed before an instance is
    idle.
    """

    kind: int
    instances: int
    max_batch_size: int
    delay_seconds: float
    pads: bool = False
    max_queue_size: int = 0
    timeout_seconds: float = math.inf
    preferred_batch_sizes: tuple[int, ...] = ()
    prefetches: bool = False

    @property
    def batches(self) -> int:
        """Batches that there may be at once: those that run, twice as many that wait, and one that is filled."""
        return 3 * self.instances + 2


class BatchingServer(Protocol):
    """A kind of server, as its own configuration describes it."""

    def rule(self) -> Rule: ...
