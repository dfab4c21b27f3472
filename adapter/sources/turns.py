"""Long work in slices, so that whatever else the event loop serves is never kept waiting for long."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SLICE_SECONDS = 0.002
"""Work per round of the event loop, of all users of one Turns together. What else is ready waits for one such slice at
most, and for the piece of work that was begun last within it: below 5 ms with pieces of up to 2 ms."""


class Turns:
    """Share one among tasks that each do pieces of work of up to a millisecond or so: `async with turns(): piece()`."""

    def __init__(self, slice_seconds: float = SLICE_SECONDS) -> None:
        self._slice_seconds = slice_seconds
        self._spent_seconds = 0.0
        self._round_over = asyncio.Event()
        self._round_over.set()
        self._order = asyncio.Lock()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """Enter when this round of the loop has time left, else in a later one, first come first served."""
        async with self._order:
            if self._spent_seconds >= self._slice_seconds:
                await self._round_over.wait()
            if self._round_over.is_set():
                self._round_over.clear()
                asyncio.get_running_loop().call_soon(self._end_round)
            started = time.perf_counter()
            try:
                yield
            finally:
                self._spent_seconds += time.perf_counter() - started

    def _end_round(self) -> None:
        self._spent_seconds = 0.0
        self._round_over.set()
