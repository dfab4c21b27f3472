"""Closed-loop users, as Locust's: each sends a request, waits for the answer, thinks, and sends the next.

Load follows from the answers: slower servers get fewer requests. Users are spawned at an even rate and stay to the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from simulations.demand.drawn import START_NS, Lengths, LengthSampler
from simulations.demand.think_time import ThinkTime
from simulations.trace import Trace, Turns

_PIECE_REQUESTS = 100_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Users:
    """spawn_per_second: users that begin a second, as Locust's spawn rate. think: Locust's wait_time.

    requests_per_user: a user stops after so many. None: a user has as many as could be sent if every answer came at
    once, which think times bound, so that none stops before the end; what is not reached is never sent.
    """

    name: str
    duration_seconds: float
    users: int
    spawn_per_second: float
    think: ThinkTime
    lengths: Lengths
    requests_per_user: int | None = None
    seed: int = 1
    start_ns: int = START_NS

    def __post_init__(self) -> None:
        for field, value, low, high in (
            ("users", self.users, 1, 1_000_000),
            ("spawn_rate", self.spawn_per_second, 1e-6, 1e6),
            ("requests_per_user", self.requests_per_user or 1, 1, 10_000_000),
        ):
            if not low <= value <= high:
                raise BadInput(f"{field}: was {value:g}, must be in [{low:g}, {high:g}]")
        if self.requests_per_user is None and self.think.mean_seconds < 0.01:
            raise BadInput(
                f"think_seconds: was {self.think.mean_seconds:g}, must be in [0.01, 86400], or give requests_per_user: "
                "users who do not think could send without bound"
            )

    @property
    def expected_requests(self) -> float:
        """At most, as answers take time."""
        active = self.duration_seconds - self._spawn_seconds()
        possible = active / max(self.think.mean_seconds, 1e-9) + 1.0
        limit = np.inf if self.requests_per_user is None else float(self.requests_per_user)
        return float(np.minimum(possible, limit).sum())

    def pieces(self) -> Iterator[Trace]:
        sampler = self.lengths.sampler(self.seed, np.zeros(1, np.int64))
        spawns: list[float] = []
        thinks: list[NDArray[np.float64]] = []
        for user, spawn in enumerate(self._spawn_seconds()):
            spawns.append(float(spawn))
            thinks.append(self._thinks(user, self.duration_seconds - float(spawn)))
            if sum(map(len, thinks)) >= _PIECE_REQUESTS:
                yield self._piece(spawns, thinks, sampler)
                spawns, thinks = [], []
        if thinks:
            yield self._piece(spawns, thinks, sampler)

    def _spawn_seconds(self) -> NDArray[np.float64]:
        """When each user begins; who would begin after the end is not there."""
        seconds = np.arange(self.users) / self.spawn_per_second
        return seconds[seconds < self.duration_seconds]

    def _thinks(self, user: int, seconds: float) -> NDArray[np.float64]:
        """Think time after each request that this user may come to send within `seconds`; at least one request."""
        rng = np.random.Generator(np.random.PCG64DXSM([self.seed, user]))
        limit = self.requests_per_user
        if limit is not None and limit * self.think.mean_seconds <= seconds:
            return self.think.draw(rng, limit)
        drawn = np.zeros(0)
        while drawn.sum() <= seconds and (limit is None or len(drawn) < limit):
            more = 16 + int(1.1 * (seconds - drawn.sum()) / self.think.mean_seconds)
            drawn = np.concatenate([drawn, self.think.draw(rng, more)])
        # Request k is sent after k think times at the soonest.
        possible = 1 + int(np.searchsorted(np.cumsum(drawn), seconds, side="right"))
        return drawn[: possible if limit is None else min(possible, limit)]

    def _piece(self, spawns: list[float], thinks: list[NDArray[np.float64]], sampler: LengthSampler) -> Trace:
        counts = np.array([len(each) for each in thinks])
        total = int(counts.sum())
        seconds = np.repeat(spawns, counts)
        prompts, outputs = sampler.draw(seconds, np.zeros(total, np.int32))
        next_request = np.arange(1, total + 1, dtype=np.int32)
        next_request[np.cumsum(counts) - 1] = -1
        return Trace(
            self.name,
            self.start_ns,
            seconds,
            prompts,
            outputs,
            turns=Turns(next_request=next_request, think_seconds=np.concatenate(thinks)),
            ends_seconds=self.duration_seconds,
        )
