"""A run in one row."""

from dataclasses import asdict, dataclass

from simulations.results.fleet_readings import FleetTotals
from simulations.results.percentiles import Percentiles
from simulations.results.totals import RequestTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One row of the table. Names carry the units; docs/reference/json.md describes each. NaN: of nothing."""

    policy: str
    requests: int
    served_requests: int
    rejected_requests: int
    timed_out_requests: int
    aborted_requests: int
    failed_requests: int
    unfinished_requests: int
    never_sent_requests: int
    slo_attainment: float
    goodput_requests_per_second: float
    ttft_p50_seconds: float
    ttft_p90_seconds: float
    ttft_p95_seconds: float
    ttft_p99_seconds: float
    ttft_mean_seconds: float
    tpot_p50_seconds: float
    tpot_p90_seconds: float
    tpot_p95_seconds: float
    tpot_p99_seconds: float
    tpot_mean_seconds: float
    itl_p50_seconds: float
    itl_p90_seconds: float
    itl_p95_seconds: float
    itl_p99_seconds: float
    itl_mean_seconds: float
    e2e_p50_seconds: float
    e2e_p90_seconds: float
    e2e_p95_seconds: float
    e2e_p99_seconds: float
    e2e_mean_seconds: float
    prompt_tokens: int
    generation_tokens: int
    lost_generation_tokens: int
    cached_token_share: float
    gpu_hours: float
    node_hours: float | None
    cost_usd: float
    rescales: int
    cold_starts: int
    cold_start_mean_seconds: float | None
    preemptions: int

    def as_dict(self) -> dict[str, float | int | str | None]:
        return asdict(self)


def summarize(
    policy: str, requests: RequestTotals, fleet: FleetTotals, itl: Percentiles, *, seconds: float, rescales: int
) -> Summary:
    """Attainment is over all that were sent; percentiles over those that have the figure.

    seconds: of demand; goodput is per second of it, whatever the tail after its end.
    """
    cold = fleet.cold_start_seconds
    return Summary(
        policy=policy,
        requests=requests.sent,
        served_requests=requests.count("served"),
        rejected_requests=requests.count("rejected"),
        timed_out_requests=requests.count("timed_out"),
        aborted_requests=requests.count("aborted"),
        failed_requests=requests.count("failed"),
        unfinished_requests=requests.count("pending"),
        never_sent_requests=requests.count("never_sent"),
        slo_attainment=_ratio(requests.good, requests.sent),
        goodput_requests_per_second=_ratio(requests.good, seconds),
        **_named("ttft", requests.ttft),
        **_named("tpot", requests.tpot),
        **_named("itl", itl),
        **_named("e2e", requests.e2e),
        prompt_tokens=requests.served_prompt_tokens,
        generation_tokens=requests.served_output_tokens,
        lost_generation_tokens=requests.lost_output_tokens,
        cached_token_share=_ratio(requests.cached_tokens, requests.served_prompt_tokens),
        gpu_hours=fleet.gpu_seconds / 3600,
        node_hours=None if fleet.node_seconds is None else fleet.node_seconds / 3600,
        cost_usd=fleet.cost_usd,
        rescales=rescales,
        cold_starts=len(cold),
        cold_start_mean_seconds=sum(cold) / len(cold) if cold else None,
        preemptions=fleet.preemptions,
    )


def _named(latency: str, percentiles: Percentiles) -> dict[str, float]:
    return {f"{latency}_{level}_seconds": value for level, value in asdict(percentiles).items()}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
