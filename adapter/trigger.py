"""When to collect, where somebody else decides it: a test or a simulation."""

from collections.abc import AsyncIterator
from typing import Protocol


class Trigger(Protocol):
    """An async iterable: each item asks for one collection of every source, and its end shuts the adapter down.

    It is resumed when that collection is complete, so whoever drives it knows that the values are in.
    """

    def __aiter__(self) -> AsyncIterator[object]: ...
