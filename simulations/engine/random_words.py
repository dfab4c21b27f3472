"""Random words for compiled code: SplitMix64, and uniforms of its words.

A stream is one 64-bit word of state, and its n-th word is a hash of the state plus n times GOLDEN (Steele, Lea and
Flood 2014, "Fast splittable pseudorandom number generators"; constants of Vigna's splitmix64.c).
"""

from typing import Any

import numpy as np

from simulations.engine.cache_folder import part

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""From one state of a stream to the next."""

_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_11, _27, _30, _31 = (np.uint64(bits) for bits in (11, 27, 30, 31))
_2_53 = 2.0**-53


@part
def word_of(state: Any) -> Any:
    """The random word that belongs to a state; the next state is `state + GOLDEN`."""
    state = (state ^ (state >> _30)) * _MIX_1
    state = (state ^ (state >> _27)) * _MIX_2
    return state ^ (state >> _31)


@part
def uniform(state: Any) -> float:
    """In (0, 1): never 0, so that its logarithm is finite."""
    return float((word_of(state) >> _11) + 0.5) * _2_53
