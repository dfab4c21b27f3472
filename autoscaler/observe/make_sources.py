"""The configured sources of demand, made from their settings. A backend's library is imported only where it is used."""

import time
from collections.abc import Callable, Iterable, Iterator

import aiohttp

from adapter.sources.scrape_source import ScrapeSource
from adapter.sources.settings import SourceSettings
from adapter.sources.source import Source
from autoscaler.observe.demand import DemandSource
from autoscaler.observe.demand_targets import DemandTargets
from policies.errors import BadInput


def make_sources(
    settings: Iterable[SourceSettings],
    targets: DemandTargets,
    session: aiohttp.ClientSession,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[DemandSource]:
    """session: for scrapes; its owner closes it, and its connector should have no limit of its own. Raises BadInput
    where a backend's credentials cannot be used."""
    for each in settings:
        yield DemandSource(
            source=_make(each, targets, session, monotonic),
            interval_seconds=each.interval_seconds,
            lag_seconds=each.lag,
            reads_pages=each.scrape is not None,
        )


def _make(
    settings: SourceSettings, targets: DemandTargets, session: aiohttp.ClientSession, monotonic: Callable[[], float]
) -> Source:
    name = settings.named
    if settings.scrape is not None:
        return ScrapeSource(targets.targets, session, settings.scrape, name=name, monotonic=monotonic)
    try:
        if settings.prometheus is not None:
            from adapter.sources.prometheus.source import PrometheusSource

            return PrometheusSource(settings.prometheus, name=name)
        assert settings.cloud_monitoring is not None, "a source has exactly one kind"
        from adapter.sources.cloud_monitoring.source import CloudMonitoringSource

        return CloudMonitoringSource(settings.cloud_monitoring, name=name)
    except ValueError as error:
        raise BadInput(f"sources, {name}: {error}") from error
