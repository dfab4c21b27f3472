"""Which share of the requests that were answered of late missed the SLO, as the servers' own histograms say.

Two series, as recording rules over a minute of vLLM's histograms would give them, interpolated within the bucket that
holds the target. A cluster that has neither is judged by the model of the servers instead.
"""

from policies.snapshot import ExternalMetric, MetricQuery, Snapshot

TTFT_MISSED = "leadtime:ttft_missed_percent:1m"
"""Percent of time_to_first_token_seconds' last minute above `le`."""

TPOT_MISSED = "leadtime:tpot_missed_percent:1m"
"""Percent of request_time_per_output_token_seconds' last minute above `le`."""


def missed_queries(ttft_seconds: float, tpot_seconds: float) -> tuple[MetricQuery, MetricQuery]:
    """The two queries for targets in seconds."""
    return _query(TTFT_MISSED, ttft_seconds), _query(TPOT_MISSED, tpot_seconds)


def missed_shares(snapshot: Snapshot, ttft_seconds: float, tpot_seconds: float) -> tuple[float | None, float | None]:
    """Of the requests answered in the last minute; each None where it is not known."""
    ttft, tpot = (_share(snapshot, query) for query in missed_queries(ttft_seconds, tpot_seconds))
    return ttft, tpot


def _query(name: str, seconds: float) -> MetricQuery:
    return MetricQuery(type="External", name=name, selector=(("le", f"{seconds:g}"),))


def _share(snapshot: Snapshot, query: MetricQuery) -> float | None:
    answer = snapshot.observations.get(query)
    if not isinstance(answer, ExternalMetric) or len(answer.values_milli) != 1:
        return None
    return min(max(answer.values_milli[0] / 100_000.0, 0.0), 1.0)
