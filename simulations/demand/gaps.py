"""How regular arrivals are: the law of the gaps between them, its mean set to 1."""

import math
from dataclasses import dataclass

from policies.errors import BadInput
from simulations.demand import arrival_sampling as sampling

SMALLEST_SHAPE = 0.01
"""Of a Gamma or Weibull law. Below it almost all gaps are 0; Weibull's mean would leave the range of floats."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """family: one of arrival_sampling's EXPONENTIAL, GAMMA, WEIBULL, EVEN. shape: of the Gamma or Weibull law."""

    family: int
    shape: float = 1.0

    @property
    def scale(self) -> float:
        """What makes the mean 1: a Gamma law has mean shape x scale, a Weibull law scale x Gamma(1 + 1 / shape)."""
        if self.family == sampling.WEIBULL:
            return 1.0 / math.gamma(1.0 + 1.0 / self.shape)
        return 1.0 / self.shape

    @classmethod
    def gamma(cls, shape: float) -> "Gaps":
        return cls(sampling.GAMMA, max(shape, SMALLEST_SHAPE))

    @classmethod
    def weibull(cls, shape: float) -> "Gaps":
        return cls(sampling.WEIBULL, max(shape, SMALLEST_SHAPE))

    @classmethod
    def of_cv(cls, cv: float) -> "Gaps":
        """The Gamma law of that coefficient of variation, 1 / sqrt(shape); 0 is even gaps, 1 a Poisson process."""
        if not 0 <= cv <= 10:
            raise BadInput(f"cv: was {cv:g}, must be in [0, 10]: 0 for even gaps, 1 for Poisson, more for bursts")
        if cv == 0:
            return EVEN
        return POISSON if cv == 1 else cls.gamma(1.0 / cv**2)


POISSON = Gaps(sampling.EXPONENTIAL)
EVEN = Gaps(sampling.EVEN)
