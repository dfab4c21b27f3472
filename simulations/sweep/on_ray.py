"""The same cells on a Ray cluster, with the same results: a task a cell. Ray is an extra: leadtime[ray].

The machines must see the files that the scenario names at the same paths, and have this version of leadtime.
"""

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from policies.errors import BadInput
from simulations.sweep.cells import Cell, Content, Outcome, Outcomes, Task, attempt, one_line

_CONNECT_SECONDS = 5.0


def run_on_ray(task: Task, cells: Iterable[Cell], address: str) -> Outcomes:
    """Every cell with its outcome, as they finish. Raises BadInput without Ray or without a cluster there."""
    ray = _ray(address)
    try:
        remote = ray.remote(max_retries=0)(_attempt_in)
        waiting = {remote.remote(str(Path.cwd()), task, cell.content): cell for cell in cells}
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            for reference in done:
                yield waiting.pop(reference), _outcome(ray, reference)
    finally:
        ray.shutdown()


def _ray(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise BadInput("--ray: Ray is not installed; pip install 'leadtime[ray]', or leave --ray out") from None
    fault = _unreachable(address)
    try:
        if fault is None:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            return ray
    except Exception as error:  # Ray raises many kinds; each means that there is no cluster to use
        fault = one_line(str(error))
    raise BadInput(
        f"--ray: was {address}, must be the address of a running cluster ({fault}); start one with "
        "`ray start --head`, or use auto"
    )


def _unreachable(address: str) -> str | None:
    """Why nobody answers at HOST:PORT; None where somebody does. Ray itself tries for minutes before it says so."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return None


def _outcome(ray: Any, reference: Any) -> Outcome:
    try:
        outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Outcome(error=one_line(f"{type(error).__name__}: {error}"))
    assert isinstance(outcome, Outcome), "tasks return nothing else"
    return outcome


def _attempt_in(folder: str, task: Task, content: Content) -> Outcome:
    """Run one cell with paths relative to the folder that the command was given in."""
    if Path(folder).is_dir():
        os.chdir(folder)
    return attempt(task, content)
