"""The controller's commands."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from autoscaler.configuration_file import read_configuration
from autoscaler.settings import ControllerSettings
from policies.errors import BadInput

app = typer.Typer(no_args_is_help=True, add_completion=False)

ConfigOption = Annotated[
    Path | None, typer.Option(help="Configuration file (YAML); without it every setting has its default.")
]


@app.callback()
def controller() -> None:
    """Controller: scales workloads, and the node pools below them, for the demand that will be there.

    Follows PredictiveAutoscaler objects (autoscaling.leadtime.dev). docs/controller.md is the guide.
    """


@app.command()
def run(
    *,
    config: ConfigOption = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration.")] = False,
) -> None:
    """Run the controller, until SIGTERM."""
    try:
        settings = read_configuration(config) if config is not None else ControllerSettings()
        if check:
            typer.echo(f"leadtime controller: good: {len(settings.sources)} sources, {_watched(settings)}")
            return
        asyncio.run(_run(settings))
    except BadInput as error:
        typer.echo(f"leadtime controller: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition, for `kubectl apply --server-side -f -`."""
    from autoscaler.crd.custom_resource import manifest

    typer.echo(manifest(), nl=False)


async def _run(settings: ControllerSettings) -> None:
    # Everything else is imported here: `--check`, `crd` and `--help` need none of it.
    import time

    import aiohttp

    from adapter.sources.kubernetes.client import KubeClient
    from adapter.sources.kubernetes.configuration import BadKubeconfig
    from autoscaler.assembly import assemble
    from autoscaler.clock import SystemClock
    from autoscaler.json_log import log_as_json
    from autoscaler.tracing import configured_tracing

    log_as_json(settings.log_level)
    async with AsyncExitStack() as stack:
        try:
            api = await KubeClient.connect(settings.cluster.kubeconfig, settings.cluster.context)
        except BadKubeconfig as error:
            raise BadInput(f"cluster.{error}") from error
        stack.push_async_callback(api.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        tracing = configured_tracing(settings.name)
        stack.callback(tracing.stop)
        running = assemble(
            settings,
            api,
            session,
            clock=SystemClock(),
            monotonic=time.monotonic,
            tracing=tracing,
            stack=stack,
        )
        with _signalled() as stopped:
            host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
            await running.run(
                stopped, lambda port: typer.echo(f"leadtime controller: listening on http://{host}:{port}")
            )


@contextmanager
def _signalled() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set. Outside the main thread, signals are its owner's: never set."""
    stopped = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _watched(settings: ControllerSettings) -> str:
    namespaces = settings.cluster.namespaces
    return f"namespaces {', '.join(namespaces)}" if namespaces else "all namespaces"
