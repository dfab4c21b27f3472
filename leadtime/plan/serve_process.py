"""A plan in a process of its own, so that the page answers meanwhile and a cancelled plan ends at once.

One line of JSON goes in, lines of JSON come out: progress, then the end. The process leads a group of its own, in which
are the processes of its runs: the group is killed as a whole, which a plan allows at any time, because each run is kept
in a file that is written whole or not at all.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from leadtime.plan.files import write_plan
from leadtime.plan.options import day_of
from leadtime.plan.plan import make_plan
from leadtime.plan.runs import OnProgress, Progress
from leadtime.plan.serve_form import request_from
from leadtime.plan.serve_queue import Job, PlanFailed, Planner
from policies.errors import BadInput

_LONGEST_LINE_BYTES = 2**20


def planner(folder: Path, workers: int) -> Planner:
    """folder: of counts and runs, which all questions share. workers: processes of a plan."""

    async def plan(job: Job, on_progress: OnProgress) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the server, which then ends the group
            limit=_LONGEST_LINE_BYTES,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(_line(_question(job, folder, workers)))
            await process.stdin.drain()
            ended: dict[str, Any] | None = None
            async for line in process.stdout:
                told = json.loads(line)
                if "stage" in told:
                    on_progress(Progress(**told))
                else:
                    ended = told
            status = await process.wait()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if ended is None:
            raise PlanFailed(f"plan: its process ended with status {status} and no answer; see where the server runs")
        if ended["error"]:
            raise PlanFailed(ended["error"])

    return plan


def main() -> None:
    """In the process: the question from stdin, which stays open for as long as the server lives."""
    with open(0, "rb", buffering=0, closefd=False) as questions:  # unbuffered: the thread below waits for its end
        question = json.loads(questions.readline())
    threading.Thread(target=_end_with_server, daemon=True).start()
    try:
        _plan(question)
    except BadInput as error:
        _tell({"error": str(error)})
    else:
        _tell({"error": ""})


def _plan(question: dict[str, Any]) -> None:
    request = request_from(question["values"], question["demand"], today=day_of(None))
    plan = make_plan(
        request,
        Path(question["folder"]),
        workers=question["workers"],
        on_progress=lambda progress: _tell(asdict(progress)),
    )
    write_plan(replace(plan, demand_name=question["name"]), Path(question["out"]))


def _question(job: Job, folder: Path, workers: int) -> dict[str, Any]:
    return {
        "values": dict(job.values),
        "demand": job.demand,
        "name": job.name,
        "out": str(job.out),
        "folder": str(folder),
        "workers": workers,
    }


def _tell(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(_line(document))
    sys.stdout.buffer.flush()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _end_with_server() -> None:
    """A server that is killed cannot end us: do not run on for nobody."""
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
