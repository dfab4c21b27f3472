"""The least of the last values, at every place of an array at once."""

import numpy as np

from policies.predictive.load_history import F8


def trailing_minimum(values: F8, bins: int) -> F8:
    """At each place of the last axis the least of it and of the `bins` before it, as far as there are any."""
    least = values.copy()
    width = 1
    while width < bins + 1:
        shift = min(width, bins + 1 - width)
        least[..., shift:] = np.minimum(least[..., shift:], least[..., :-shift])
        width += shift
    return least
