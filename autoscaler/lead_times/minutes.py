"""Demand that was seen, by the minute: what a restarted controller gives its policy back.

Of a workload and an hour three float32 rows of 60: requests/s, and prompt and output tokens per request, as means of
the samples in that minute; NaN where there was none. 14 days of 1,000 workloads are 336,000 hours of 720 bytes.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from policies.predictive.backfill import Samples
from policies.snapshot import NS_PER_SECOND

F4 = NDArray[np.float32]

MINUTE_NS = 60 * NS_PER_SECOND
HOUR_NS = 60 * MINUTE_NS
_SHAPE = (3, 60)
_WIRE = np.dtype("<f4")
BLOB_BYTES = _SHAPE[0] * _SHAPE[1] * _WIRE.itemsize


class HourOfMinutes:
    """An hour that is being seen: sums and counts of each minute. Tokens weigh by the requests they belong to."""

    def __init__(self) -> None:
        self._seen = np.zeros(60)
        self._requests = np.zeros(60)
        self._tokens = np.zeros((2, 60))
        self._with_tokens = np.zeros(60)
        self.changed = False

    def add(
        self, minute: int, requests_per_second: float, prompt_tokens: float | None, output_tokens: float | None
    ) -> None:
        """minute: [0, 60)."""
        self._seen[minute] += 1
        self._requests[minute] += requests_per_second
        if prompt_tokens is not None and output_tokens is not None and requests_per_second > 0:
            self._tokens[:, minute] += np.array([prompt_tokens, output_tokens]) * requests_per_second
            self._with_tokens[minute] += requests_per_second
        self.changed = True

    def means(self) -> F4:
        """Shape (3, 60)."""
        values = np.full(_SHAPE, np.nan)
        np.divide(self._requests, self._seen, out=values[0], where=self._seen > 0)
        for row in (0, 1):
            np.divide(self._tokens[row], self._with_tokens, out=values[row + 1], where=self._with_tokens > 0)
        return values.astype(np.float32)


def to_blob(means: F4) -> bytes:
    return means.astype(_WIRE).tobytes()


def from_blob(blob: bytes) -> F4:
    """Raises ValueError for one of another length."""
    if len(blob) != BLOB_BYTES:
        raise ValueError(f"minutes: was {len(blob)} bytes, must be {BLOB_BYTES}")
    return np.frombuffer(blob, _WIRE).reshape(_SHAPE).astype(np.float32)


def overlaid(old: F4, new: F4) -> F4:
    """The new means, and the old ones of minutes of which nothing is new."""
    values: F4 = np.where(np.isnan(new[0]), old, new)
    return values


def samples_of(hours: Iterable[tuple[int, F4]], *, since_ns: int, until_ns: int) -> Samples:
    """hours: (hour since the epoch, its means), ascending. Each minute that was seen, and is over, within the span; its
    sample is at its end, since a sample tells of the time before it."""
    found = list(hours)
    starts = np.array([hour for hour, _ in found], np.int64) * HOUR_NS
    at_ns = (starts[:, None] + np.arange(1, 61, dtype=np.int64) * MINUTE_NS).ravel()
    values = np.concatenate([np.empty((3, 0)), *(means for _, means in found)], axis=1)
    kept = np.isfinite(values[0]) & (at_ns >= since_ns) & (at_ns <= until_ns)
    requests, prompt, output = values[:, kept]
    return Samples(at_ns=at_ns[kept], requests_per_second=requests, prompt_tokens=prompt, output_tokens=output)
