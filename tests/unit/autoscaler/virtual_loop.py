"""An event loop whose time is a number: where it would wait, it moves its clock on instead."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class _Timeless(selectors.BaseSelector):
    """The loop's own selector, asked without waiting; what it would have waited is added to the clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._inner = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if not ready:
            assert timeout is not None, "everything waits for something that no time brings"
            self.now += max(timeout, 0.0)
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._timeless = _Timeless()
        super().__init__(self._timeless)

    def time(self) -> float:
        return self._timeless.now


def run_virtual(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end in virtual time; `asyncio.get_running_loop().time` is its clock, seconds."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())
