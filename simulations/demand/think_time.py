"""How long people wait between an answer and what they send next."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput


@dataclass(frozen=True, slots=True)
class ThinkTime:
    """A lognormal law of that mean and coefficient of variation; cv 0 is always the mean."""

    mean_seconds: float
    cv: float = 0.0

    def __post_init__(self) -> None:
        for field, value, high in (("think_seconds", self.mean_seconds, 86_400), ("think_cv", self.cv, 10)):
            if not 0 <= value <= high:
                raise BadInput(f"{field}: was {value:g}, must be in [0, {high}]")

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """`count` of them, in seconds."""
        if self.cv == 0:
            return np.full(count, self.mean_seconds)
        variance = math.log1p(self.cv**2)
        return self.mean_seconds * np.exp(math.sqrt(variance) * rng.standard_normal(count) - 0.5 * variance)
