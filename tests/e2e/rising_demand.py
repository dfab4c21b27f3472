"""A demand that rises while a test does something else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from beside import beside
from scenario import Scenario

PERIOD_SECONDS = 1.0


@contextmanager
def rising_demand(scene: Scenario, first: float, last: float, *, seconds: float) -> Iterator[None]:
    """Of the scenario's last workload, from `first` to `last` requests/s, a little each second, until the end of the
    block at most. A failure to say so is raised there."""
    began = time.monotonic()

    def rise(stopped: threading.Event) -> None:
        while True:
            share = min(1.0, (time.monotonic() - began) / seconds)
            scene.demands(first + share * (last - first))
            if share == 1.0 or stopped.wait(PERIOD_SECONDS):
                return

    with beside(rise):
        yield
