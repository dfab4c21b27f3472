"""Arrival processes of one or more clients, side by side, as the compiled sampler takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulations.demand.arrival_sampling import KNOT, Records
from simulations.demand.gaps import Gaps
from simulations.demand.rate_curve import RateCurve

_PURPOSES = {"arrivals": 0, "coins": 1, "lengths": 2, "phase": 3}


def streams(seed: int, client_ids: NDArray[np.int64], purpose: str) -> NDArray[np.uint64]:
    """One word of random state per client, shape (clients,): the same for a client whoever else there is."""
    words = [
        np.random.SeedSequence([seed, int(client), _PURPOSES[purpose]]).generate_state(1, np.uint64)[0]
        for client in client_ids
    ]
    return np.array(words, np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Processes:
    """Per client a rate curve, and for each stretch of it the law of the gaps.

    client_ids: what seeds each, shape (clients,). knots: `KNOT`, client after client. first_knot: shape
    (clients + 1,), where each client's knots begin.
    """

    client_ids: NDArray[np.int64]
    knots: Records
    first_knot: NDArray[np.int64]

    @classmethod
    def of(cls, curve: RateCurve, gaps: Gaps) -> "Processes":
        """One client whose gaps follow one law."""
        return cls.side_by_side(np.zeros(1, np.int64), [knots_of(curve, gaps)])

    @classmethod
    def side_by_side(cls, client_ids: NDArray[np.int64], knots: Sequence[Records]) -> "Processes":
        counts = [len(each) for each in knots]
        return cls(client_ids, np.concatenate(knots), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.client_ids)

    def curve(self, client: int) -> RateCurve:
        """The rate of the client in that place."""
        knots = self.knots[self.first_knot[client] : self.first_knot[client + 1]]
        return RateCurve(knots["seconds"], knots["rps"])

    def with_rate_factor(self, factor: float) -> "Processes":
        """The same with every rate multiplied."""
        knots = self.knots.copy()
        knots["rps"] *= factor
        return replace(self, knots=knots)

    def expected_by(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Requests expected up to each of some times, over all clients; linear between knots, same shape."""
        total = np.zeros(len(seconds))
        for client in range(len(self)):
            curve = self.curve(client)
            total += np.interp(seconds, curve.seconds, curve.expected())
        return total

    def expected(self) -> float:
        """Requests expected in all."""
        return float(sum(self.curve(client).expected()[-1] for client in range(len(self))))


def knots_of(curve: RateCurve, gaps: Gaps) -> Records:
    """One client's knots whose gaps follow one law."""
    knots = np.zeros(len(curve.seconds), KNOT)
    knots["seconds"], knots["rps"] = curve.seconds, curve.rps
    knots["family"], knots["shape"], knots["scale"] = gaps.family, gaps.shape, gaps.scale
    return knots
