"""The adapter's commands."""

import asyncio
import gc
import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from adapter.clock import SystemClock
from adapter.configuration_file import read_configuration
from adapter.errors import BadInput
from adapter.explain_text import as_text
from adapter.rules.watcher import check as check_rules
from adapter.settings import AdapterSettings
from adapter.sources.derive.describe import describe

app = typer.Typer(no_args_is_help=True, add_completion=False)
rules_app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(rules_app, name="rules", help="Rules: what is served and how it is made.")

ConfigOption = Annotated[
    Path | None, typer.Option(help="Configuration file (YAML); without it every setting has its default.")
]

_SWITCH_SECONDS = 0.0001
"""p99 of requests while Prometheus is the source of 10,000 series: 17 ms with Python's own 5 ms, 12 with 0.5, 8 with
0.1, 11 with 0.02 (benchmarks/metrics_apis.py, medians of four runs each, in turn)."""


@app.callback()
def adapter() -> None:
    """Metrics API server: shows the series of vLLM, DCGM, Triton, TorchServe, NIM and others to the HPA.

    It collects in the background (pods' pages, Prometheus, Cloud Monitoring) and answers custom.metrics.k8s.io
    and external.metrics.k8s.io from memory.
    """


@app.command()
def serve(
    *,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, in place of server.host.")] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port in place of server.port; 0 takes a free one.", min=0, max=65535)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration and its rules.")] = False,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Collect metrics and serve them to the HPA, until SIGTERM."""
    _log_from(log_level)
    try:
        settings = _settings(config, host, port)
        if check:
            rules = check_rules(settings.rules)
            typer.echo(f"leadtime adapter: good: {len(settings.sources)} sources, {len(rules)} rules")
            return
        asyncio.run(_serve(settings))
    except BadInput as error:
        raise _refused(error) from error


@app.command()
def explain(
    metric: Annotated[str, typer.Argument(help="A metric's name, as in an HPA.")],
    *,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The HPA's namespace.")] = "default",
    external: Annotated[bool, typer.Option("--external", help="As an External metric; else as one of Pods.")] = False,
    resource: Annotated[
        str, typer.Option("--object", help="For type Object: RESOURCE/NAME, such as services/vllm.")
    ] = "pods/*",
    selector: Annotated[str, typer.Option("--selector", "-l", help="The metric's label selector.")] = "",
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: as kubectl's.")] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer, for programs.")] = False,
) -> None:
    """Where a metric's values come from, how old they are, and why one is missing.

    Asks the adapter through the API server, with your own rights: list on METRIC in external.metrics.k8s.io, or get
    on pods/METRIC in custom.metrics.k8s.io.
    """
    from adapter.explain_request import ask  # it imports the Kubernetes client

    try:
        answer = asyncio.run(
            ask(
                metric,
                namespace=namespace,
                resource=None if external else resource,
                selector=selector,
                kubeconfig=kubeconfig,
                context=context,
            )
        )
    except BadInput as error:
        raise _refused(error) from error
    typer.echo(json.dumps(answer, indent=2) if as_json else as_text(answer))


@rules_app.command("check")
def rules_check(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders of rules.")],
) -> None:
    """Whether the adapter would take these rules, with file, line and field where not."""
    try:
        rules = check_rules(paths)
    except BadInput as error:
        raise _refused(error) from error
    own = sum(rule.defined_at != "built-in" for rule in rules)
    typer.echo(f"leadtime adapter: good: {own} rules, with the built-in ones {len(rules)}")


@rules_app.command("list")
def rules_list(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders of rules beside the built-in.")] = None,
) -> None:
    """Every metric that is served: name, unit, what it is made of, where it is defined."""
    try:
        rules = check_rules(paths or [])
    except BadInput as error:
        raise _refused(error) from error
    for rule in sorted(rules, key=lambda one: (one.system, one.name)):
        aliases = f" (also {', '.join(rule.aliases)})" if rule.aliases else ""
        typer.echo(f"{rule.name}{aliases}\n    {rule.unit or 'no unit'}: {describe(rule.value)} ({rule.defined_at})")


def _settings(config: Path | None, host: str | None, port: int | None) -> AdapterSettings:
    settings = read_configuration(config) if config is not None else AdapterSettings()
    changed = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return settings.model_copy(update={"server": settings.server.model_copy(update=changed)})


async def _serve(settings: AdapterSettings) -> None:
    from adapter.server import serve as serve_adapter  # everything, Kubernetes' client included

    def announce(port: int) -> None:
        host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
        typer.echo(f"leadtime adapter: listening on https://{host}:{port}")
        # A full collection over what was imported takes 30 ms and more, in which nobody is answered.
        gc.freeze()
        gc.set_threshold(10_000, 20, 1000)
        # Each of a request's steps through TLS waits so long for a thread that takes an answer of Prometheus apart.
        sys.setswitchinterval(_SWITCH_SECONDS)

    await serve_adapter(settings, clock=SystemClock(), on_listening=announce)


def _log_from(level: str) -> None:
    if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise _refused(BadInput(f"--log-level: was {level!r}, must be one of DEBUG, INFO, WARNING, ERROR; correct it"))
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it tells of every tick


def _refused(error: BadInput) -> typer.Exit:
    typer.echo(f"leadtime adapter: {error}", err=True)
    return typer.Exit(2)
