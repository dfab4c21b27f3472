"""A bounded list of rows of numbers: the oldest row makes room for the newest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FIRST_ROWS = 32


class Ring:
    """Rows of float32 with an instant each, oldest first; it grows to `limit` rows and then stays.

    Instants are whole Unix seconds (uint32, until 2106): a float32 would round them to minutes.
    """

    def __init__(self, columns: int, limit: int) -> None:
        self._limit = limit
        self._seconds = np.zeros(min(_FIRST_ROWS, limit), np.uint32)
        self._values = np.zeros((len(self._seconds), columns), np.float32)
        self._begin = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def nbytes(self) -> int:
        return self._seconds.nbytes + self._values.nbytes

    def append(self, at_seconds: int, values: Sequence[float]) -> None:
        if self._length == len(self._seconds) < self._limit:
            self._grow()
        if self._length < len(self._seconds):
            place = (self._begin + self._length) % len(self._seconds)
            self._length += 1
        else:
            place = self._begin
            self._begin = (self._begin + 1) % self._limit
        self._seconds[place] = at_seconds
        self._values[place] = values

    def rows(self) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """(instants, values), oldest first; copies."""
        order = (self._begin + np.arange(self._length)) % len(self._seconds)
        return self._seconds[order], self._values[order]

    def _grow(self) -> None:
        """Twice the room. It is full and has never wrapped, so rows keep their places."""
        rows = min(self._limit, 2 * len(self._seconds))
        seconds, values = np.zeros(rows, np.uint32), np.zeros((rows, self._values.shape[1]), np.float32)
        seconds[: self._length], values[: self._length] = self._seconds, self._values
        self._seconds, self._values = seconds, values
