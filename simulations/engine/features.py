"""Parts of the engine that most runs do not need, and that are compiled only for those that do.

Compiling takes seconds, half of them for prefix caches, adapters, priorities, timeouts, turns, scored routers and
disaggregation. A world without any of these is of another type (`layout.WORLD_PLAIN`), and for it every function that
is marked `feature` just gives its answer for where nobody uses the feature.
"""

from collections.abc import Callable
from typing import Any

from numba.extending import overload

from simulations.engine.cache_folder import JIT_OPTIONS

Function = Callable[..., Any]


def feature(*, otherwise: Any) -> Callable[[Function], Function]:
    """Mark a function whose first parameter is the world. otherwise: what it answers where nobody uses the feature."""

    def mark(function: Function) -> Function:
        def called(*_: Any) -> Any:
            raise NotImplementedError("only compiled code calls this")

        def unused(*_: Any) -> Any:
            return otherwise

        @overload(called, jit_options=JIT_OPTIONS, strict=False)
        def choose(w: Any, *_: Any) -> Function:
            return unused if "is_plain" in w.fields else function

        return called

    return mark
