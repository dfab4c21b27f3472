"""Runs beside each other whose answers come in the order in which they were asked for."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Run = TypeVar("Run")
Answer = TypeVar("Answer")


def in_order(work: Callable[[Run], Answer], runs: Iterable[Run], jobs: int) -> Iterator[Answer]:
    """What `work`, a function at the top of a module, gives for each; in this process where jobs is 1."""
    if jobs <= 1:
        yield from map(work, runs)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, runs)
