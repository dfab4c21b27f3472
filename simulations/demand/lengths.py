"""Token lengths of generated requests: lognormal or constant, or as in a recording."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from simulations.demand.arrival_sampling import F8, I4
from simulations.demand.drawn import LengthSampler
from simulations.trace import Trace

MAX_TOKENS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """A lognormal law, rounded to whole tokens and kept in [1, max_tokens]; cv 0 is always the mean.

    mean, cv: before rounding and cutting, which lowers them where `max_tokens` is near.
    """

    mean: float
    cv: float = 0.0
    max_tokens: int = 131_072

    def __post_init__(self) -> None:
        for field, value, low, high in (
            ("tokens", self.mean, 1, self.max_tokens),
            ("cv of tokens", self.cv, 0, 10),
            ("max_tokens", self.max_tokens, 1, MAX_TOKENS),
        ):
            if not low <= value <= high:
                raise BadInput(f"{field}: was {value:g}, must be in [{low}, {high}]")

    def draw(self, rng: np.random.Generator, count: int, mean: F8 | None = None) -> I4:
        """`count` lengths. mean: of each, shape (count,), where it is not the same for all."""
        means = np.full(count, self.mean) if mean is None else mean
        if self.cv > 0:
            # ln X is normal with variance ln(1 + cv^2) and mean ln(mean) - variance / 2.
            variance = math.log1p(self.cv**2)
            means = means * np.exp(math.sqrt(variance) * rng.standard_normal(count) - 0.5 * variance)
        return np.clip(np.rint(means), 1, self.max_tokens).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LognormalLengths:
    """Prompts and outputs, independent of each other."""

    prompt: Lognormal
    output: Lognormal

    def sampler(self, seed: int, client_ids: NDArray[np.int64]) -> LengthSampler:  # noqa: ARG002 - one law for all
        return _LognormalSampler(self, *generators(seed, 2))


class _LognormalSampler:
    def __init__(self, lengths: LognormalLengths, prompts: np.random.Generator, outputs: np.random.Generator) -> None:
        self.lengths, self.prompts, self.outputs = lengths, prompts, outputs

    def draw(self, seconds: F8, clients: I4) -> tuple[I4, I4]:  # noqa: ARG002 - the same for all
        count = len(seconds)
        return self.lengths.prompt.draw(self.prompts, count), self.lengths.output.draw(self.outputs, count)


@dataclass(frozen=True, slots=True, eq=False)
class EmpiricalLengths:
    """Each request is as long as one of a recording, prompt and output together."""

    recording: Trace

    def sampler(self, seed: int, client_ids: NDArray[np.int64]) -> LengthSampler:  # noqa: ARG002 - one law for all
        return _EmpiricalSampler(self.recording, *generators(seed, 1))


class _EmpiricalSampler:
    def __init__(self, recording: Trace, rng: np.random.Generator) -> None:
        self.recording, self.rng = recording, rng

    def draw(self, seconds: F8, clients: I4) -> tuple[I4, I4]:  # noqa: ARG002 - the same for all
        rows = (self.rng.random(len(seconds)) * len(self.recording)).astype(np.int64)
        return self.recording.prompt_tokens[rows], self.recording.output_tokens[rows]


def generators(seed: int, count: int) -> list[np.random.Generator]:
    """Independent generators, one for each thing that is drawn, so that each is drawn request by request."""
    return [np.random.Generator(np.random.PCG64DXSM(child)) for child in np.random.SeedSequence(seed).spawn(count)]
