"""`leadtime plan --serve`: the page on this machine, until Ctrl-C."""

import asyncio
import errno
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from rich.console import Console

from leadtime.output import check_folder
from leadtime.plan.serve_process import planner
from leadtime.plan.serve_queue import Planner, PlanQueue
from leadtime.plan.serve_routes import application, recordings_in
from leadtime.plan.serve_uploads import Uploads
from policies.errors import BadInput

_ADDRESS = "127.0.0.1"
_CLOSING_SECONDS = 1.0


def serve_planner(defaults: Mapping[str, str], out: Path, *, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM. out: keeps counts, runs and the answers. Raises BadInput."""
    check_folder("--out", out)
    asyncio.run(_until_interrupted(defaults, out, port, workers))


@asynccontextmanager
async def served(defaults: Mapping[str, str], out: Path, plan: Planner, *, port: int) -> AsyncIterator[str]:
    """The page's address. At the end what runs is ended, and uploads are removed. Raises BadInput."""
    with tempfile.TemporaryDirectory(prefix="leadtime-plan-") as folder:
        queue = PlanQueue(plan, out)
        app = application(
            queue, Uploads(Path(folder)), defaults, secrets.token_urlsafe(32), offered=recordings_in(Path.cwd())
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_SECONDS)
        await runner.setup()
        try:
            await _listen(runner, port)
            yield f"http://{_ADDRESS}:{runner.addresses[0][1]}/"
        finally:
            await queue.close()
            await runner.cleanup()


async def _until_interrupted(defaults: Mapping[str, str], out: Path, port: int, workers: int) -> None:
    console = Console()
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, interrupted.set)
    async with served(defaults, out, planner(out, workers), port=port) as address:
        text = f"plan: {address} (this machine only; answers in {out}; Ctrl-C ends it)"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        await interrupted.wait()
    console.print("plan: ended; answers stay, uploads were removed", highlight=False)


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, _ADDRESS, port).start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use" if error.errno == errno.EADDRINUSE else "may not be listened on by you"
        raise BadInput(f"--port: {port} {why}; choose another, or 0 for any that is free") from None
