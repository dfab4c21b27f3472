"""The configured sources, made from their settings. A backend's library is imported only where it is used."""

from collections.abc import Callable

import aiohttp

from adapter.errors import BadInput
from adapter.inventory import Inventory
from adapter.sources.scrape_source import ScrapeSource
from adapter.sources.settings import SourceSettings
from adapter.sources.source import Source


def make_source(
    settings: SourceSettings, *, inventory: Inventory, session: aiohttp.ClientSession, monotonic: Callable[[], float]
) -> Source:
    """session: for scrapes; its owner closes it. Raises BadInput where a backend's credentials cannot be used."""
    name = settings.named
    if settings.scrape is not None:
        return ScrapeSource(inventory.targets, session, settings.scrape, name=name, monotonic=monotonic)
    try:
        if settings.prometheus is not None:
            from adapter.sources.prometheus.source import PrometheusSource

            return PrometheusSource(settings.prometheus, name=name)
        assert settings.cloud_monitoring is not None
        from adapter.sources.cloud_monitoring.source import CloudMonitoringSource

        return CloudMonitoringSource(settings.cloud_monitoring, name=name)
    except ValueError as error:
        raise BadInput(f"sources, {name}: {error}") from error
