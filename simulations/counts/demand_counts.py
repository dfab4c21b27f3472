"""Demand as counts: what arrives in each bin of 15 s, and what it costs a server."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policies.capacity.profile import Profile
from policies.errors import BadInput
from simulations.trace import Demand, Trace

F8 = NDArray[np.float64]
I4 = NDArray[np.int32]

BIN_SECONDS = 15
"""One scrape of Prometheus' usual period: what is finer no policy sees."""

_SAMPLE_REQUESTS = 20_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Counts:
    """What arrives in each bin, second zero first; sums over the bin's requests, each of shape (bins,).

    prompt_token_squares: of prompts squared, for attention in prefill. kv_token_steps: KV tokens read over all decode
    steps of a request, output * (prompt + (output + 1) / 2).
    sample_prompts, sample_outputs: tokens of every n-th request, for what depends on more than means.
    start_ns: Unix ns of second zero.
    """

    name: str
    start_ns: int
    requests: F8
    prompt_tokens: F8
    output_tokens: F8
    prompt_token_squares: F8
    kv_token_steps: F8
    sample_prompts: I4
    sample_outputs: I4

    @property
    def bins(self) -> int:
        return len(self.requests)

    @property
    def duration_seconds(self) -> float:
        return float(self.bins * BIN_SECONDS)

    def part(self, first_bin: int, end_bin: int) -> "Counts":
        """Bins [first, end), the first at second zero; the sample stays that of all."""
        cut = {name: getattr(self, name)[first_bin:end_bin] for name in _SUMS}
        return Counts(
            name=self.name,
            start_ns=self.start_ns + first_bin * BIN_SECONDS * 10**9,
            sample_prompts=self.sample_prompts,
            sample_outputs=self.sample_outputs,
            **cut,
        )

    def prefill_seconds(self, profile: Profile) -> F8:
        """Server time of the bin's prompts, as `simulations.calibration.steady_state` counts it; shape (bins,)."""
        return (
            self.prompt_tokens * profile.per_prefill_token_seconds
            + self.prompt_token_squares / 2 * profile.per_prefill_context_token_seconds
        )

    def work_seconds(self, profile: Profile) -> F8:
        """Server time of the bin's requests beside the steps' base; shape (bins,)."""
        decode = (
            self.output_tokens * profile.per_decode_seq_seconds + self.kv_token_steps * profile.per_kv_token_seconds
        )
        return self.prefill_seconds(profile) + decode

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        unfinished = path.with_name(f".{path.name}.npz")
        np.savez_compressed(unfinished, **{each.name: getattr(self, each.name) for each in fields(self)})
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Counts":
        """What `save` wrote; OSError or ValueError where it is not that."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {each.name: file[each.name] for each in fields(cls)}
        return cls(**{**arrays, "name": str(arrays["name"]), "start_ns": int(arrays["start_ns"])})


_SUMS = ("requests", "prompt_tokens", "output_tokens", "prompt_token_squares", "kv_token_steps")


def count(demand: Demand, on_seconds: Callable[[float], None] = lambda _: None) -> Counts:
    """Count a demand in one pass, piece by piece; `on_seconds` is told how far it is. Raises BadInput when it is empty.

    The last bin is whole: what is left of the demand's span after the last full bin is left out, unless it is all.
    """
    bins = max(1, int(demand.duration_seconds // BIN_SECONDS))
    sums = {name: np.zeros(bins) for name in _SUMS}
    every = max(1, int(demand.expected_requests // _SAMPLE_REQUESTS))
    prompts, outputs, seen = [], [], 0
    for piece in demand.pieces():
        _add(piece, sums, bins)
        kept = slice(-seen % every, None, every)
        prompts.append(piece.prompt_tokens[kept])
        outputs.append(piece.output_tokens[kept])
        seen += len(piece)
        on_seconds(float(piece.arrival_seconds[-1]))
    if not sums["requests"].any():
        raise BadInput(f"demand: {demand.name} has no request within {bins * BIN_SECONDS} s, must have 1 or more")
    return Counts(
        name=demand.name,
        start_ns=demand.start_ns,
        sample_prompts=np.concatenate(prompts).astype(np.int32),
        sample_outputs=np.concatenate(outputs).astype(np.int32),
        **sums,
    )


def _add(piece: Trace, sums: dict[str, F8], bins: int) -> None:
    where = (piece.arrival_seconds / BIN_SECONDS).astype(np.int64)
    kept = where < bins
    where = where[kept]
    prompt, output = piece.prompt_tokens[kept].astype(np.float64), piece.output_tokens[kept].astype(np.float64)
    if not len(where):
        return
    first = int(where[0])
    columns = (None, prompt, output, prompt**2, output * (prompt + (output + 1) / 2))
    for name, weights in zip(_SUMS, columns, strict=True):
        part = np.bincount(where - first, weights=weights)
        sums[name][first : first + len(part)] += part
