"""Token lengths from histograms that change from client to client and from block to block of time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.demand.arrival_sampling import F8, I4, Records
from simulations.demand.drawn import LengthSampler
from simulations.demand.length_sampling import BIN, token_lengths
from simulations.demand.processes import streams

Bins = Mapping[tuple[float, float], float]
"""(lower, upper edge in tokens, the upper excluded) -> weight."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HistogramLengths:
    """Lengths from the histogram that a client has in a block of time; see `length_sampling.token_lengths`.

    clock_seconds: per client, from the demand's time to the blocks' clock. circle_seconds: the blocks' span, after
    which they begin again. histograms: shape (clients, blocks, 4), first bin and bins of prompts, and of outputs.
    """

    clock_seconds: F8
    block_seconds: float
    circle_seconds: float
    blend_seconds: float
    histograms: I4
    bins: Records

    def sampler(self, seed: int, client_ids: NDArray[np.int64]) -> LengthSampler:
        return _Sampler(self, streams(seed, client_ids, "lengths"))


class _Sampler:
    def __init__(self, lengths: HistogramLengths, words: NDArray[np.uint64]) -> None:
        self.lengths, self.words = lengths, words

    def draw(self, seconds: F8, clients: I4) -> tuple[I4, I4]:
        each = self.lengths
        prompts, outputs = token_lengths(
            seconds,
            clients,
            self.words,
            # Once around, so that no clock is before its first block.
            each.clock_seconds + each.circle_seconds,
            each.block_seconds,
            each.circle_seconds,
            each.blend_seconds,
            each.histograms,
            each.bins,
        )
        return prompts, outputs


def alias_tables(histograms: Sequence[Bins]) -> tuple[Records, NDArray[np.int64]]:
    """The histograms one after the other: (bins, where each begins and the last ends), shapes (bins,), (histograms +
    1,).

    Alias method: Walker 1977; tables built as Vose 1991 does.
    """
    first = np.concatenate([[0], np.cumsum([len(bins) for bins in histograms])]).astype(np.int64)
    table = np.zeros(first[-1], BIN)
    for begin, bins in zip(first, histograms, strict=False):
        _fill(table[begin : begin + len(bins)], bins)
    return table, first


def _fill(table: Records, bins: Bins) -> None:
    count, total = len(bins), math.fsum(bins.values())
    share = [weight / total * count for weight in bins.values()]
    accept, other = [1.0] * count, list(range(count))
    small = [at for at in range(count) if share[at] < 1.0]
    large = [at for at in range(count) if share[at] >= 1.0]
    while small and large:
        less, more = small.pop(), large[-1]
        accept[less], other[less] = share[less], more
        share[more] -= 1.0 - share[less]
        if share[more] < 1.0:
            small.append(large.pop())
    # The whole numbers in [lower, upper); a length of 0 counts as 1, as in a recording.
    lowest = [max(1, math.ceil(lower)) for lower, _ in bins]
    highest = [max(low, math.ceil(upper) - 1) for low, (_, upper) in zip(lowest, bins, strict=True)]
    table["accept"], table["other"], table["lowest"] = accept, other, lowest
    table["log_width"] = [math.log((high + 1) / low) for low, high in zip(lowest, highest, strict=True)]
