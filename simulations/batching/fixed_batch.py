"""Batches of one size: what is compared when a batch size is tuned."""

import math
from dataclasses import dataclass

from policies.errors import BadInput
from simulations.batching.checks import check_counts
from simulations.batching.rule import FIXED, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBatch:
    """An idle instance begins once `batch_size` requests wait, or the first of them has waited max_wait_seconds.

    max_wait_seconds: 0 begins at once with what there is. Never is not allowed: the last requests would wait for ever.
    pads: every batch takes as long as a full one, as on an engine that was built for one batch size (a static shape).
    """

    batch_size: int
    max_wait_seconds: float = 0.0
    instances: int = 1
    pads: bool = False

    def __post_init__(self) -> None:
        check_counts(batch_size=self.batch_size, instances=self.instances)
        if not 0 <= self.max_wait_seconds < math.inf:
            raise BadInput(
                f"max_wait_seconds: was {self.max_wait_seconds}, must be 0 or more and finite; the last requests of a "
                "demand would never fill a batch"
            )

    def rule(self) -> Rule:
        return Rule(
            kind=FIXED,
            instances=self.instances,
            max_batch_size=self.batch_size,
            delay_seconds=self.max_wait_seconds,
            pads=self.pads,
        )
