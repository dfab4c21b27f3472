"""Random numbers for compiled code: exponentials, normals, Gamma variates.

They are made of the words and uniforms of simulations/engine/random_words.py. Normals and exponentials are drawn by the
ziggurat (Marsaglia and Tsang 2000, "The ziggurat method for generating random variables"; layers as in Doornik 2005,
"An improved ziggurat method", which takes layer and position from other bits).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulations.engine.cache_folder import part
from simulations.engine.random_words import GOLDEN, uniform, word_of

F8 = NDArray[np.float64]

_11 = np.uint64(11)
_MASK_8 = np.uint64(2**8 - 1)
_2_53 = 2.0**-53


def _ziggurat(density: Any, inverse: Any, edge: float, area: float) -> tuple[F8, F8]:
    """Right edges of 256 layers of equal area under `density`, and the share of each that lies wholly under it."""
    x = np.zeros(257)
    x[0], x[1] = area / density(edge), edge
    for layer in range(2, 256):
        x[layer] = inverse(density(x[layer - 1]) + area / x[layer - 1])
    return x, x[1:] / x[:-1]


_NORMAL_EDGE, _EXPONENTIAL_EDGE = 3.6541528853610088, 7.69711747013104972
_NORMAL_X, _NORMAL_INSIDE = _ziggurat(
    lambda x: math.exp(-0.5 * x * x), lambda y: math.sqrt(-2.0 * math.log(y)), _NORMAL_EDGE, 4.92867323399e-3
)
_EXPONENTIAL_X, _EXPONENTIAL_INSIDE = _ziggurat(
    lambda x: math.exp(-x), lambda y: -math.log(y), _EXPONENTIAL_EDGE, 3.949659822581572e-3
)


@part
def exponential(state: Any) -> Any:
    """(a unit exponential, the next state)."""
    while True:
        word = word_of(state)
        state += GOLDEN
        layer = int(word & _MASK_8)
        u = float(word >> _11) * _2_53
        x = u * _EXPONENTIAL_X[layer]
        if u < _EXPONENTIAL_INSIDE[layer]:
            return x, state
        v = uniform(state)
        state += GOLDEN
        if layer == 0:
            return _EXPONENTIAL_EDGE - math.log(v), state
        low, high = math.exp(x - _EXPONENTIAL_X[layer]), math.exp(x - _EXPONENTIAL_X[layer + 1])
        if high + v * (low - high) < 1.0:
            return x, state


@part
def normal(state: Any) -> Any:
    """(a standard normal, the next state)."""
    while True:
        word = word_of(state)
        state += GOLDEN
        layer = int(word & _MASK_8)
        u = 2.0 * float(word >> _11) * _2_53 - 1.0
        x = u * _NORMAL_X[layer]
        if abs(u) < _NORMAL_INSIDE[layer]:
            return x, state
        if layer == 0:
            while True:
                beyond = -math.log(uniform(state)) / _NORMAL_EDGE
                height = -math.log(uniform(state + GOLDEN))
                state += GOLDEN + GOLDEN
                if 2.0 * height >= beyond * beyond:
                    return math.copysign(_NORMAL_EDGE + beyond, u), state
        v = uniform(state)
        state += GOLDEN
        low = math.exp(0.5 * (x * x - _NORMAL_X[layer] ** 2))
        high = math.exp(0.5 * (x * x - _NORMAL_X[layer + 1] ** 2))
        if high + v * (low - high) < 1.0:
            return x, state


@part
def gamma(state: Any, shape: float) -> Any:
    """(a Gamma variate of that shape, 1 or more, and scale 1; the next state).

    Marsaglia and Tsang 2000, "A simple method for generating gamma variables".
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x, state = normal(state)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u = uniform(state)
        state += GOLDEN
        if u < 1.0 - 0.0331 * x * x * x * x or math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
            return d * v, state
