"""Work that runs beside a test's block, in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Do the work until the end of the block, at which the event that it was given is set; it may end before. What it
    raises is raised there, unless the block itself failed."""
    stopped, failures = threading.Event(), list[BaseException]()

    def done() -> None:
        try:
            work(stopped)
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=done)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    if failures:
        raise failures[0]
