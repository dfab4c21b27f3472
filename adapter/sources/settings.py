"""The list `sources` of a configuration: which backends are asked for metrics, in order of priority."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from adapter.sources.cloud_monitoring.settings import CloudMonitoringSettings
from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.scrape_settings import ScrapeSettings
from adapter.sources.section import Section

_LAGS_SECONDS = {"scrape": 0.0, "prometheus": 60.0, "cloudMonitoring": 240.0}
_Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$")]


class SourceSettings(Section):
    """One source of metrics: exactly one of scrape, prometheus and cloudMonitoring."""

    name: _Name | None = None
    """What rules, reports and metrics call it; unique. Default: the kind."""
    scrape: ScrapeSettings | None = None
    prometheus: PrometheusSettings | None = None
    cloud_monitoring: CloudMonitoringSettings | None = None
    lag_seconds: float | None = Field(None, ge=0.0, le=3600.0)
    """How old its samples may be when they arrive, 0 to 3600, on top of a rule's maxAgeSeconds. Default: 0 for
    scrape; 60 for prometheus, its own default scrape interval; 240 for cloudMonitoring, which shows GKE's metrics
    up to that late."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [kind for kind in _LAGS_SECONDS if self._of(kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f": had {' and '.join(given) or 'no kind'}, must have exactly one of "
                f"{', '.join(_LAGS_SECONDS)}; correct it (for defaults write `scrape: {{}}`)"
            )
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in _LAGS_SECONDS if self._of(kind) is not None)

    @property
    def named(self) -> str:
        """The name, or what stands for it."""
        return self.name or self.kind

    @property
    def lag(self) -> float:
        """Seconds."""
        return _LAGS_SECONDS[self.kind] if self.lag_seconds is None else self.lag_seconds

    @property
    def interval_seconds(self) -> float:
        """From one collection to the next."""
        section = self.scrape or self.prometheus or self.cloud_monitoring
        assert section is not None
        return section.interval_seconds

    def _of(self, kind: str) -> object:
        return {
            "scrape": self.scrape,
            "prometheus": self.prometheus,
            "cloudMonitoring": self.cloud_monitoring,
        }[kind]


def _names_are_unique(sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
    if not sources:
        raise ValueError(": had none, must have at least one; leave it out to scrape pods")
    names = [source.named for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f": name {name!r} was there twice, must be once; give one entry another `name`")
    return sources


Sources = Annotated[tuple[SourceSettings, ...], Field(max_length=20), AfterValidator(_names_are_unique)]
SCRAPE_ONLY = (SourceSettings(scrape=ScrapeSettings()),)
"""The default: pods are scraped, nothing else is needed."""
