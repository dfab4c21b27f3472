"""The controller's only view of time."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Unix ns."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()
