"""A server's heap of decoding requests by the iteration that finishes them; of equals, the first admitted first."""

from typing import Any

from simulations.engine.cache_folder import part
from simulations.engine.cells import finish_at


@part
def push_finish(w: Any, base: int, size: int, key: int, slot: int) -> None:
    """Add a slot to the heap of `size` that begins at `base`."""
    index = size
    while index > 0:
        parent = (index - 1) >> 1
        if finish_at(w, base + parent).key <= key:
            break
        finish_at(w, base + index).key = finish_at(w, base + parent).key
        finish_at(w, base + index).slot = finish_at(w, base + parent).slot
        index = parent
    finish_at(w, base + index).key = key
    finish_at(w, base + index).slot = slot


@part
def remove_finish(w: Any, base: int, size: int, index: int) -> None:
    """Take the entry at `index` (counted from `base`) out of a heap of `size`."""
    key, slot = finish_at(w, base + size - 1).key, finish_at(w, base + size - 1).slot
    size -= 1
    if index == size:
        return
    while index > 0 and finish_at(w, base + ((index - 1) >> 1)).key > key:
        parent = (index - 1) >> 1
        finish_at(w, base + index).key = finish_at(w, base + parent).key
        finish_at(w, base + index).slot = finish_at(w, base + parent).slot
        index = parent
    while True:
        child = 2 * index + 1
        if child >= size:
            break
        if child + 1 < size and finish_at(w, base + child + 1).key < finish_at(w, base + child).key:
            child += 1
        if finish_at(w, base + child).key >= key:
            break
        finish_at(w, base + index).key = finish_at(w, base + child).key
        finish_at(w, base + index).slot = finish_at(w, base + child).slot
        index = child
    finish_at(w, base + index).key = key
    finish_at(w, base + index).slot = slot


@part
def find_finish(w: Any, base: int, size: int, slot: int) -> int:
    """Where a slot is in the heap, counted from `base`."""
    index = 0
    while index < size and finish_at(w, base + index).slot != slot:
        index += 1
    return index
