"""Which of the fluid's requests each ready pod shows: what came to it, what it runs, and what it has answered.

The fluid spreads one queue and one batch evenly over all replicas at any instant. Real requests stay where they were
sent: when replicas come in an overload the old ones keep their queues, and the new ones get their share of what comes
from then on. Shown evenly, the queue would seem to come a second time, as arrivals at the new pods: measured, 157
replicas' worth where 31 were needed. So arrivals are spread evenly, and each pod's own add up over all its series:

    arrived = growth of answered + running + waiting, of each pod, never below 0;  the sums are the fluid's
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShownPods:
    """The ready pods at one scrape. numbers: theirs. waiting, running: requests now; answered: since it became ready;
    each of shape (pods,), in the order of `numbers`."""

    numbers: tuple[int, ...] = ()
    waiting: F8 = field(default_factory=lambda: np.empty(0))
    running: F8 = field(default_factory=lambda: np.empty(0))
    answered: F8 = field(default_factory=lambda: np.empty(0))

    def after(self, numbers: Sequence[int], *, admitted: float, waiting: float, running: float) -> Self:
        """At the next scrape, with these pods ready. admitted: since this one; waiting, running: then; of all together.

        What waited at a pod that is gone comes to the others, as if it were sent again.
        """
        before = self._of(tuple(numbers))
        if not numbers:
            return before
        arrived = max(0.0, admitted + waiting - float(before.waiting.sum()))
        offered = before.waiting + arrived / len(numbers)
        still_waiting = _scaled(offered, waiting)
        held = before.running + offered - still_waiting
        still_running = _scaled(held, running)
        return type(self)(
            numbers=before.numbers,
            waiting=still_waiting,
            running=still_running,
            answered=before.answered + np.maximum(held - still_running, 0.0),
        )

    def _of(self, numbers: tuple[int, ...]) -> Self:
        """Of these pods; 0 for new ones."""
        if numbers == self.numbers:
            return self
        place = {number: at for at, number in enumerate(self.numbers)}
        at = [place.get(number, -1) for number in numbers]
        waiting, running, answered = (
            np.append(values, 0.0)[at] for values in (self.waiting, self.running, self.answered)
        )
        return type(self)(numbers=numbers, waiting=waiting, running=running, answered=answered)


def _scaled(values: F8, total: float) -> F8:
    """In the same proportions, with this sum; evenly where all are 0."""
    before = float(values.sum())
    return values * (total / before) if before > 0 else np.full(len(values), total / len(values))
