"""The demand that is expected one lead time ahead, as people are told of it: a band of loads in requests/s."""

from dataclasses import dataclass

from policies.combined.spec import CombinedSpec
from policies.combined.state import CombinedState
from policies.predictive.band import BandState, follow
from policies.predictive.replica_capacity import sustained
from policies.predictive.state import lead_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Requests/s that no more than 10, 50 and 90 % of outcomes stay below; of the minute that ends lead_time_seconds
    from now. covered_share: of the last day's minutes those that lay between the first and the last, in [0, 1]; None
    in the first hour.
    """

    lower_requests_per_second: float
    median_requests_per_second: float
    upper_requests_per_second: float
    lead_time_seconds: float
    covered_share: float | None


def followed(band: BandState, spec: CombinedSpec, state: CombinedState) -> BandState:
    """The band with what the policy's state has new; 0.4 ms, once a minute."""
    predictive = state.predictive
    return follow(band, predictive.load.history, lead_seconds(spec.predictive, predictive))


def forecast(band: BandState, spec: CombinedSpec, state: CombinedState, now_ns: int) -> Forecast | None:
    """At the present sizes of requests; None while the past is too short, or demand is not known now."""
    predictive = state.predictive
    loads = band.band_at(now_ns)
    per_replica = None if predictive.last is None else sustained(spec.predictive, predictive.last)
    if loads is None or per_replica is None:
        return None
    return Forecast(
        lower_requests_per_second=loads.lower * per_replica,
        median_requests_per_second=loads.median * per_replica,
        upper_requests_per_second=loads.upper * per_replica,
        lead_time_seconds=lead_seconds(spec.predictive, predictive),
        covered_share=band.covered_share,
    )
