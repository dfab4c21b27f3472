"""The adapter's commands."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from adapter.clock import SystemClock
from adapter.errors import BadInput
from adapter.server import serve as serve_adapter
from adapter.settings import AdapterSettings, read_settings
from adapter.trigger import IntervalTrigger

app = typer.Typer(no_args_is_help=True, add_completion=False)
_DEFAULTS = {name: field.default for name, field in AdapterSettings.model_fields.items()}


@app.callback()
def adapter() -> None:
    """Metrics API server: shows vLLM's and DCGM's series to the HPA."""


@app.command()
def serve(
    *,
    tls_cert_file: Annotated[Path, typer.Option(help="PEM serving certificate.")],
    tls_key_file: Annotated[Path, typer.Option(help="PEM key of the certificate.")],
    client_ca_file: Annotated[Path, typer.Option(help="PEM CAs of the clients that may ask.")],
    targets_file: Annotated[Path, typer.Option(help="JSON list of the pages to scrape.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS["host"],
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = _DEFAULTS["port"],
    allowed_name: Annotated[
        list[str] | None, typer.Option(help="Accepted common name; repeat for more. Default: any.")
    ] = None,
    collection_interval_seconds: Annotated[float, typer.Option(help="Seconds between collections.")] = _DEFAULTS[
        "collection_interval_seconds"
    ],
    scrape_timeout_seconds: Annotated[float, typer.Option(help="Seconds for one page.")] = _DEFAULTS[
        "scrape_timeout_seconds"
    ],
    max_age_seconds: Annotated[float, typer.Option(help="Seconds until a sample counts as missing.")] = _DEFAULTS[
        "max_age_seconds"
    ],
    max_concurrent_scrapes: Annotated[int, typer.Option(help="Pages fetched at a time.")] = _DEFAULTS[
        "max_concurrent_scrapes"
    ],
) -> None:
    """Scrape pods' metrics pages and serve custom.metrics.k8s.io and external.metrics.k8s.io."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it tells of every tick
    try:
        settings = read_settings(
            {
                "host": host,
                "port": port,
                "tls_cert_file": tls_cert_file,
                "tls_key_file": tls_key_file,
                "client_ca_file": client_ca_file,
                "allowed_names": tuple(allowed_name or ()),
                "targets_file": targets_file,
                "collection_interval_seconds": collection_interval_seconds,
                "scrape_timeout_seconds": scrape_timeout_seconds,
                "max_age_seconds": max_age_seconds,
                "max_concurrent_scrapes": max_concurrent_scrapes,
            }
        )
        asyncio.run(_serve(settings))
    except BadInput as error:
        typer.echo(f"leadtime adapter: {error}", err=True)
        raise typer.Exit(2) from error


async def _serve(settings: AdapterSettings) -> None:
    def announce(port: int) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        typer.echo(f"leadtime adapter: listening on https://{host}:{port}")

    async with IntervalTrigger(settings.collection_interval_seconds) as trigger:
        await serve_adapter(settings, clock=SystemClock(), trigger=trigger, on_listening=announce)
