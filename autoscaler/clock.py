"""The controller's only view of time."""

from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Unix ns."""
        ...
