"""What an operator sets for the direct scrape of pods."""

from typing import Self

from pydantic import Field, model_validator

from adapter.sources.page_parser import PageLimits
from adapter.sources.section import Section


class BadScrapeSettings(ValueError):
    """Settings that contradict each other: names both, their values and the remedy."""


class ScrapeSettings(Section):
    """The direct scrape of pods and exporters."""

    interval_seconds: float = Field(default=15.0, ge=1.0, le=3600.0)
    """Seconds between collections, 1 to 3600. 15 is the HPA's own period."""
    timeout_seconds: float = Field(default=2.0, ge=0.05, le=60.0)
    """Seconds for one page, connection included, 0.05 to 60. A healthy page takes milliseconds."""
    collection_seconds: float = Field(default=10.0, ge=0.1, le=3600.0)
    """Seconds after which a collection begins no further page, 0.1 to 3600; those not reached come first next time.
    Two thirds of the interval, so that collections do not fall behind where many targets hang."""
    concurrency: int = Field(default=64, ge=1, le=1000)
    """Pages fetched at a time, 1 to 1000: bounds sockets and memory. Targets that timed out the last time are tried
    last, twice this number in a collection, the longest untried first: they hold the others' values back by two
    timeouts at most."""
    accept_gzip: bool = False
    """Ask for compressed pages. Off: it costs a server in Python about 1 ms a page and saves the adapter nothing (both
    measured with a vLLM page); it makes 4 kB of 96 kB, so turn it on where traffic between zones is paid for."""
    page_bytes_limit: int = Field(default=8 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    """Bytes of one page after decompression, 1 kB to 256 MB. A vLLM page is about 100 kB; 8 MB is no metrics page."""
    page_series_limit: int = Field(default=5_000, ge=1, le=1_000_000)
    """Series of one page that rules use, 1 to 1,000,000. A vLLM pod has some 200 with all histograms. Beyond it the
    metric with the most series is left out whole, since a sum over some of them would be wrong."""
    series_limit: int = Field(default=200_000, ge=1, le=100_000_000)
    """Series of all pages that rules use, 1 to 100,000,000: bounds memory, at 1.3 kB each where no two have the same
    labels (measured); equal pods share theirs. Pages with many series come last, so that an explosion costs itself
    and not the others."""
    labels_per_series: int = Field(default=64, ge=1, le=10_000)
    """Labels of one series, 1 to 10,000. Series of Kubernetes exporters have up to 30."""
    label_value_length: int = Field(default=1024, ge=1, le=1_000_000)
    """Characters of one label value, 1 to 1,000,000. Model paths are the long ones, below 300."""

    @model_validator(mode="after")
    def _a_page_fits_into_its_interval(self) -> Self:
        if self.timeout_seconds > self.interval_seconds:
            raise BadScrapeSettings(
                f"timeoutSeconds: was {self.timeout_seconds:g}, must be at most intervalSeconds "
                f"({self.interval_seconds:g}), or collections fall behind; lower it"
            )
        return self

    @property
    def page_limits(self) -> PageLimits:
        return PageLimits(
            series=self.page_series_limit,
            labels_per_series=self.labels_per_series,
            label_value_length=self.label_value_length,
        )
