"""Cells on this machine's cores: a process a core, one cell at a time each.

A pool of the standard library breaks as a whole when one process is killed (by the kernel when memory is short, for
one), and cannot say which cell it had. Here each process has its own pipe, so its end is that of one known cell.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

from simulations.sweep.cells import Cell, Outcome, Outcomes, Task, attempt


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection


def run_on_processes(task: Task, cells: Iterable[Cell], workers: int) -> Outcomes:
    """Every cell with its outcome, as they finish. Closing the iterator ends the processes."""
    pending = deque(cells)
    busy: dict[Connection, tuple[_Worker, Cell]] = {}
    idle: list[_Worker] = []
    try:
        while pending or busy:
            while pending and len(busy) < workers:
                cell = pending.popleft()
                worker = _given(cell, idle, task)
                busy[worker.pipe] = (worker, cell)
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection), "only pipes are waited for"
                worker, cell = busy.pop(pipe)
                outcome = _received(worker)
                if worker.process.is_alive():
                    idle.append(worker)
                yield cell, outcome
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(task: Task) -> _Worker:
    context = _context(task)
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, task), daemon=True)
    process.start()
    theirs.close()  # so that the pipe ends when the process does
    return _Worker(process, ours)


def _context(task: Task) -> SpawnContext | ForkServerContext:
    """Forked from a server that has imported the task, where there is one: a process is there in milliseconds.

    Not forked from this process, which may have threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([task.__module__])
    return context


def _given(cell: Cell, idle: list[_Worker], task: Task) -> _Worker:
    """A worker that has the cell: an idle one, unless it died meanwhile, else a new one."""
    while idle:
        worker = idle.pop()
        try:
            worker.pipe.send(cell.content)
        except OSError:
            worker.process.join()
            worker.pipe.close()
        else:
            return worker
    worker = _start(task)
    worker.pipe.send(cell.content)
    return worker


def _received(worker: _Worker) -> Outcome:
    try:
        outcome = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        worker.pipe.close()
        return Outcome(error=f"its process {_ending(worker.process.exitcode)}")
    assert isinstance(outcome, Outcome), "workers send nothing else"
    return outcome


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; if memory was short, use fewer --workers" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    return f"ended with exit code {exit_code}"


def _serve(pipe: Connection, task: Task) -> None:
    """A worker: cells in, outcomes out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            content = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(attempt(task, content))


def _end_with_parent() -> None:
    """A parent that is killed cannot end us: do not run on for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    wait([parent.sentinel])
    os._exit(1)
