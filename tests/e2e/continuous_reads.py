"""Reads a metric again and again, as more impatient clients than the HPA controller would."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kube_api import Api

PERIOD_SECONDS = 0.01


@dataclass(slots=True)
class Reads:
    """count: of answers. failures: those that were no values, as (seconds since the first read, status, body)."""

    count: int = 0
    failures: list[tuple[float, int, bytes]] = field(default_factory=list)


@contextmanager
def continuous_reads(api: Api, path: str) -> Iterator[Reads]:
    """From now on until the end of the block, each a hundredth of a second after the answer before."""
    reads, stopped, began = Reads(), threading.Event(), time.monotonic()

    def read() -> None:
        while not stopped.wait(PERIOD_SECONDS):
            reply = api.send("GET", path)
            reads.count += 1
            if reply.status != 200 or not reply.json()["items"]:
                reads.failures.append((time.monotonic() - began, reply.status, reply.body))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield reads
    finally:
        stopped.set()
        thread.join()
    assert reads.count >= 20, "else nothing is shown"
