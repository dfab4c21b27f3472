"""What a forecaster is told: horizons, memory and what holds before anything was seen."""

from dataclasses import dataclass

from policies.errors import BadInput
from policies.forecast.bins import BIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastSpec:
    """horizons_seconds: whole minutes, ascending; others are between them. prior_sigma: relative deviation assumed of
    changes that were not seen yet. memory_seconds: half-life of what is learned. ridge: outcomes that the prior is
    worth. floor: smallest demand worth forecasting, in the unit of the samples.
    """

    horizons_seconds: tuple[int, ...] = (60, 120, 300, 600, 1_200)
    prior_sigma: float = 0.2
    memory_seconds: float = 86_400.0
    ridge: float = 40.0
    floor: float = 1 / 60

    @property
    def horizons_bins(self) -> tuple[int, ...]:
        return tuple(seconds // BIN_SECONDS for seconds in self.horizons_seconds)

    @property
    def memory_bins(self) -> float:
        return self.memory_seconds / BIN_SECONDS


def check(spec: ForecastSpec) -> None:
    """Raise BadInput."""
    horizons = spec.horizons_seconds
    if not horizons or any(each % BIN_SECONDS or not BIN_SECONDS <= each <= 43_200 for each in horizons):
        raise BadInput(
            f"horizonsSeconds: was {list(horizons)}, each must be a multiple of {BIN_SECONDS} in [{BIN_SECONDS}, 43200]"
        )
    if sorted(set(horizons)) != list(horizons):
        raise BadInput(f"horizonsSeconds: was {list(horizons)}, must be ascending; sort them and remove doubles")
    for name, low, value, high in (
        ("priorSigma", 0.001, spec.prior_sigma, 10.0),
        ("memorySeconds", 3_600.0, spec.memory_seconds, 31_622_400.0),
        ("ridge", 1.0, spec.ridge, 10_000.0),
        ("floor", 1e-9, spec.floor, 1e9),
    ):
        if not low <= value <= high:
            raise BadInput(f"{name}: was {value:g}, must be in [{low:g}, {high:g}]")
