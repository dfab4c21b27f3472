"""What time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time; ages are measured against it and nothing else."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()
