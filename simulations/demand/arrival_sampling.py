"""When requests of a rate curve arrive: renewal processes in operational time, compiled.

Every client has two streams of random numbers of its own, for its arrivals and for the coins that keep them, and both
advance request by request. So what is drawn does not depend on how many requests are drawn at a time.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulations.demand.random_numbers import exponential, gamma
from simulations.engine.cache_folder import entry, part
from simulations.engine.random_words import GOLDEN, uniform

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
I4 = NDArray[np.int32]
U8 = NDArray[np.uint64]
Records = NDArray[np.void]

EXPONENTIAL, GAMMA, WEIBULL, EVEN = 0, 1, 2, 3
"""Families of gaps between arrivals; EVEN is the gap that is always 1."""

KNOT = np.dtype(
    [
        ("seconds", np.float64),
        ("rps", np.float64),  # the rate here; it is linear up to the next knot
        ("shape", np.float64),  # of the gaps up to the next knot
        ("scale", np.float64),  # what makes their mean 1
        ("family", np.int64),
    ]
)


@entry
def arrivals_until(
    until: float,
    keep: float,
    arrival_streams: U8,
    coin_streams: U8,
    knot_of: I8,
    next_seconds: F8,
    last_knot: I8,
    knots: Records,
    times: F8,
    clients: I4,
) -> int:
    """Write the next arrivals before `until` to `times` and `clients`, client by client; how many there were.

    As many as the arrays hold means that there may be more: call again.

    An arrival is where the integral of the rate since the one before reaches the gap drawn for it: a renewal process
    in operational time. Where the law of the gaps changes the process starts anew, so that what each stretch expects
    is the integral of its rate, whatever the gaps before it.

    keep: probability that an arrival is kept, a coin each. knot_of, next_seconds: per client, its next arrival and the
    knot before it; `next_seconds` is -infinity before the first call.
    """
    count = 0
    for client in range(len(knot_of)):
        now, at, end = next_seconds[client], knot_of[client], last_knot[client]
        state, coin = arrival_streams[client], coin_streams[client]
        if now >= until:
            continue
        arrived, enters, need, family, shape, scale = now > -math.inf, True, 0.0, knots[at].family, 0.0, 0.0
        if arrived:
            shape = knots[at].shape
        else:
            now = knots[at].seconds
        while True:
            begins = False
            if enters:  # the stretch from one knot to the next
                start, stop = knots[at].seconds, knots[at + 1].seconds
                rate_at_start, rate_at_stop = knots[at].rps, knots[at + 1].rps
                slope = (rate_at_stop - rate_at_start) / (stop - start) if stop > start else 0.0
                begins = family != knots[at].family or shape != knots[at].shape
                family, shape, scale = knots[at].family, knots[at].shape, knots[at].scale
                enters = False
            if arrived:
                if now >= until or count == len(times):
                    break
                if keep >= 1.0 or uniform(coin) < keep:
                    times[count] = now
                    clients[count] = client
                    count += 1
                coin += GOLDEN
                need, state = gap(state, family, shape, scale)
            elif begins:
                need, state = first_gap(state, family, shape, scale)
            rate = max(0.0, rate_at_start + slope * (now - start))
            left = 0.5 * (rate + rate_at_stop) * (stop - now)
            arrived = need < left
            if arrived:
                # need = rate x + slope x^2 / 2, solved for x in the form in which nothing cancels.
                root = math.sqrt(max(0.0, rate * rate + 2.0 * slope * need))
                now = min(stop, now + 2.0 * need / (rate + root)) if need > 0.0 else now
                continue
            need, now, at, enters = need - left, stop, at + 1, True
            if at == end:
                now = math.inf
                break
        arrival_streams[client], coin_streams[client] = state, coin
        knot_of[client], next_seconds[client] = at, now
        if count == len(times):
            break
    return count


@part
def gap(state: Any, family: int, shape: float, scale: float) -> Any:
    """(from one arrival to the next in units of the mean gap, the next state)."""
    if family == EVEN:
        return 1.0, state
    unit, state = exponential(state)
    if family == EXPONENTIAL:
        return unit, state
    if family == WEIBULL:
        return scale * math.exp(math.log(unit) / shape), state
    # Below 1, Gamma(shape) = Gamma(shape + 1) U^(1 / shape): Marsaglia and Tsang 2000, section 6.
    value, state = gamma(state, shape if shape >= 1.0 else shape + 1.0)
    return scale * (value if shape >= 1.0 else value * math.exp(-unit / shape)), state


@part
def first_gap(state: Any, family: int, shape: float, scale: float) -> Any:
    """(from an instant that no arrival marks to the next arrival in units of the mean gap, the next state).

    A process that starts so is stationary: from its start on it expects as many arrivals as mean gaps have passed. The
    gap that an instant falls into is length-biased, and the instant is uniform in it (Cox 1962, "Renewal Theory", 5.4).
    Length-biased, Gamma(k) is Gamma(k + 1), and the k-th power of a Weibull(k) is Gamma(1 + 1 / k).
    """
    passed = uniform(state)
    state += GOLDEN
    if family == EVEN:
        return passed, state
    if family == EXPONENTIAL:
        return -math.log(passed), state
    value, state = gamma(state, 1.0 + (shape if family == GAMMA else 1.0 / shape))
    return passed * scale * (value if family == GAMMA else math.exp(math.log(value) / shape)), state
