"""How many tokens requests have, from histograms, compiled."""

import math
from typing import Any

import numpy as np

from simulations.demand.arrival_sampling import F8, I4, U8, Records
from simulations.engine.cache_folder import entry, part
from simulations.engine.random_words import GOLDEN, word_of

BIN = np.dtype(
    [
        ("accept", np.float64),  # alias method: below it this bin is meant, else `other`
        ("lowest", np.float64),  # tokens
        ("log_width", np.float64),  # ln((highest + 1) / lowest)
        ("other", np.int64),  # in bins from the histogram's first
    ]
)

_11, _32 = np.uint64(11), np.uint64(32)
_MASK_11, _MASK_21 = np.uint64(2**11 - 1), np.uint64(2**21 - 1)
_2_32, _2_21, _2_11 = 2.0**-32, 2.0**-21, 2.0**-11


@entry
def token_lengths(
    times: F8,
    clients: I4,
    streams: U8,
    clock_seconds: F8,
    block_seconds: float,
    circle_seconds: float,
    blend_seconds: float,
    histograms: I4,
    bins: Records,
) -> tuple[I4, I4]:
    """(prompt tokens, output tokens) of each request, from the histograms that its client has at that time.

    histograms: shape (clients, blocks, 4): first bin and bins, of prompts and of outputs, in a block of
    `block_seconds`. clock_seconds: per client, what to add to a time to get to the clock of its blocks, which begins
    anew after `circle_seconds`; at least half of `blend_seconds`. blend_seconds: closer than half of it to the edge of
    two blocks a request takes either, the nearer more often, so that lengths do not jump.

    Within a bin, a whole number n of tokens has weight ln(1 + 1 / n): the whole part of what is uniform in the
    logarithm.
    """
    per_block = 1.0 / block_seconds
    prompts, outputs = np.empty(len(times), np.int32), np.empty(len(times), np.int32)
    for i in range(len(times)):
        client = clients[i]
        state = streams[client]
        word = word_of(state)
        jitter = (float(word & _MASK_11) + 0.5) * _2_11 - 0.5
        clock = times[i] + clock_seconds[client] + jitter * blend_seconds
        while clock >= circle_seconds:
            clock -= circle_seconds
        block = int(clock * per_block)
        prompts[i] = _tokens(word, histograms[client, block, 0], histograms[client, block, 1], bins)
        word = word_of(state + GOLDEN)
        outputs[i] = _tokens(word, histograms[client, block, 2], histograms[client, block, 3], bins)
        streams[client] = state + GOLDEN + GOLDEN
    return prompts, outputs


@part
def _tokens(word: Any, first: int, count: int, bins: Records) -> int:
    """One length: the word's upper half chooses the bin (alias method, Walker 1977), bits 11 to 31 the place in it."""
    x = float(word >> _32) * _2_32 * count
    column = int(x)
    at = first + column
    if x - column >= bins[at].accept:
        at = first + bins[at].other
    share = (float((word >> _11) & _MASK_21) + 0.5) * _2_21
    return int(bins[at].lowest * math.exp(share * bins[at].log_width))
