"""What time the API server has."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

from adapter.sources.kubernetes.configuration import load_configuration
from adapter.sources.kubernetes.connection import Connection
from leadtime.doctor.gathered import Clocks


async def server_clock(
    kubeconfig: Path | None, context: str | None, now_seconds: Callable[[], float] = time.time
) -> Clocks | None:
    """By the Date header of /version, which everybody may read; None where it cannot be had."""
    connection = Connection(await load_configuration(kubeconfig, context))
    try:
        limits = aiohttp.ClientTimeout(total=10.0)
        response = await connection.send("GET", "/version", None, None, "application/json", limits)
        own_seconds = now_seconds()
        response.close()
    finally:
        await connection.close()
    return clocks_of(response.headers.get("Date", ""), own_seconds)


def clocks_of(date: str, own_seconds: float) -> Clocks | None:
    """The header tells whole seconds, cut off: half a second is added."""
    try:
        return Clocks(server_seconds=parsedate_to_datetime(date).timestamp() + 0.5, own_seconds=own_seconds)
    except ValueError:
        return None
