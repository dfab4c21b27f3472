"""What happens next: a heap of the servers' plans by their ends, and a heap of deferred events by their times.

Equal times keep a fixed order (rows, then order of entry), so that a run is the same on every machine.
"""

from typing import Any

from simulations.engine.cache_folder import part
from simulations.engine.cells import deferred_at, end_at, server_at
from simulations.engine.features import feature
from simulations.engine.layout import NONE


@part
def place_plan(w: Any, row: int) -> None:
    """Put a server where the end of its plan belongs in the heap, or take it out when it has none."""
    server = server_at(w, row)
    index = server.heap_index
    if server.in_step:
        if index == NONE:
            index = w.plans
            w.plans += 1
        _settle_at(w, index, server.plan_end, row)
    elif index != NONE:
        w.plans -= 1
        server.heap_index = NONE
        if index != w.plans:
            _settle_at(w, index, end_at(w, w.plans).end, end_at(w, w.plans).row)


@part
def _settle_at(w: Any, index: int, end: float, row: int) -> None:
    """Fill the hole at `index` of the heap with that plan, after moving what must be above or below it."""
    size = w.plans
    while index > 0:
        parent = (index - 1) >> 1
        if end_at(w, parent).end < end or (end_at(w, parent).end == end and end_at(w, parent).row < row):
            break
        end_at(w, index).end = end_at(w, parent).end
        end_at(w, index).row = end_at(w, parent).row
        server_at(w, end_at(w, index).row).heap_index = index
        index = parent
    while True:
        child = 2 * index + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            end_at(w, right).end < end_at(w, child).end
            or (end_at(w, right).end == end_at(w, child).end and end_at(w, right).row < end_at(w, child).row)
        ):
            child = right
        if end < end_at(w, child).end or (end == end_at(w, child).end and row < end_at(w, child).row):
            break
        end_at(w, index).end = end_at(w, child).end
        end_at(w, index).row = end_at(w, child).row
        server_at(w, end_at(w, index).row).heap_index = index
        index = child
    end_at(w, index).end = end
    end_at(w, index).row = row
    server_at(w, row).heap_index = index


@feature(otherwise=None)
def push_deferred(w: Any, time: float, request: int, kind: int) -> None:
    """Let something happen to a request at that time. The caller has made room."""
    order = w.order
    w.order += 1
    index = w.deferred_count
    w.deferred_count += 1
    while index > 0:
        parent = (index - 1) >> 1
        if deferred_at(w, parent).time <= time:
            break
        _copy(w, index, parent)
        index = parent
    deferred_at(w, index).time = time
    deferred_at(w, index).order = order
    deferred_at(w, index).request = request
    deferred_at(w, index).kind = kind


@feature(otherwise=None)
def pop_deferred(w: Any) -> None:
    """Forget the first of the deferred events."""
    w.deferred_count -= 1
    size = w.deferred_count
    time, order = deferred_at(w, size).time, deferred_at(w, size).order
    index = 0
    while True:
        child = 2 * index + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _before(w, right, deferred_at(w, child).time, deferred_at(w, child).order):
            child = right
        if not _before(w, child, time, order):
            break
        _copy(w, index, child)
        index = child
    _copy(w, index, size)


@part
def _before(w: Any, index: int, time: float, order: int) -> bool:
    event = deferred_at(w, index)
    return bool(event.time < time or (event.time == time and event.order < order))


@part
def _copy(w: Any, to: int, source: int) -> None:
    deferred_at(w, to).time = deferred_at(w, source).time
    deferred_at(w, to).order = deferred_at(w, source).order
    deferred_at(w, to).request = deferred_at(w, source).request
    deferred_at(w, to).kind = deferred_at(w, source).kind
