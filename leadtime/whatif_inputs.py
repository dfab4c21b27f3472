"""Where the past of `leadtime whatif` comes from: any demand, or Prometheus; both end as counts with what is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from policies.capacity.profile import Profile
from policies.errors import BadInput
from simulations.counts.capacity import keep_for_peak, kept
from simulations.counts.demand_counts import BIN_SECONDS, Counts, count
from simulations.demand.text import demand_from
from simulations.history.minutes import FEWEST_MINUTES, Attained, check_history, counts_of
from simulations.history.samples import F8, MINUTE_SECONDS, Known
from simulations.history.server_counters import read_history
from simulations.history.servers_and_pods import attained, lead_time_from, pod_lead_seconds, token_cvs
from simulations.history.service import Service
from simulations.lead_time import LeadTime
from simulations.slo import SLO

OnProgress = Callable[[str, float], None]

DEFAULT_LEAD_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """known: per bin. ready_replicas: per minute. measured: what the servers' own histograms say of a span; None
    without them. notes: what was read and assumed. warnings: what looks wrong. repairs: what was done -> how often."""

    counts: Counts
    known: Known
    lead_time: LeadTime
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    repairs: Mapping[str, int] = field(default_factory=dict)
    ready_replicas: F8 | None = None
    measured: Callable[[int], Attained] | None = None


def past_of_demand(
    text: str,
    profile: Profile,
    slo: SLO,
    *,
    days: float | None,
    lead_seconds: float | None,
    peak_replicas: float,
    seed: int,
    on_progress: OnProgress,
) -> Past:
    """A recording, tables or a generator, thinned where its peak needs more than so many replicas. Raises BadInput.

    days: only the first of them; None for all.
    """
    demand = demand_from(text, seed=seed, seconds=None if days is None else 86_400.0 * days)
    total = demand.duration_seconds
    if total < FEWEST_MINUTES * MINUTE_SECONDS:
        raise BadInput(
            f"history: {text} lasts {total / MINUTE_SECONDS:.0f} minutes, must last at least {FEWEST_MINUTES}; give a "
            "longer recording"
        )
    keep = keep_for_peak(
        demand,
        peak_replicas,
        profile,
        slo.tpot_seconds,
        seed=seed,
        on_seconds=lambda done: on_progress(f"{text}: finding its peak", done / total),
    )
    counts = count(kept(demand, keep, seed), lambda done: on_progress(f"{text}: counting", done / total))
    notes = [f"arrivals: {counts.requests.sum():,.0f} requests of {text}, with their own tokens"]
    if keep < 1.0:
        notes.append(
            f"thinned: 1 in {1 / keep:.3g} requests, so that the busiest 5 minutes need {peak_replicas:g} replicas "
            "(--peak-replicas)"
        )
    lead = DEFAULT_LEAD_SECONDS if lead_seconds is None else lead_seconds
    notes.append(f"lead time: {lead:g} s, the median" + (", assumed (--lead-time)" if lead_seconds is None else ""))
    return Past(
        counts=counts,
        known=np.ones(counts.bins, bool),
        lead_time=LeadTime.of_median(lead),
        notes=tuple(notes),
        warnings=tuple(_long_silence(counts)),
    )


def past_of_service(
    service: Service, slo: SLO, *, days: float, lead_seconds: float | None, seed: int, on_progress: OnProgress
) -> Past:
    """What Prometheus has of the last days. Raises BadInput."""
    end = datetime.now(UTC).timestamp() // MINUTE_SECONDS * MINUTE_SECONDS
    history = read_history(service, end_seconds=end, days=days, on_progress=on_progress)
    check_history(history)
    edges = history.grid.edges
    span = {"start_seconds": float(edges[0]), "end_seconds": float(edges[-1])}
    notes = list(history.notes)
    on_progress("asking Prometheus for pods and histograms", 0.0)
    found = token_cvs(service, **span)
    for what, cv in zip(("prompts", "answers"), found, strict=True):
        notes.append(
            f"{what}: lognormal with a coefficient of variation of {1.0 if cv is None else cv:.2f}, "
            + ("assumed" if cv is None else "as in the servers' histograms")
        )
    prompt_cv, output_cv = (1.0 if cv is None else cv for cv in found)
    history = replace(history, token_cv=(prompt_cv, output_cv))
    lead_time, said = _lead_time(service, lead_seconds, span)
    counts = counts_of(history, seed)
    bins_per_minute = MINUTE_SECONDS // BIN_SECONDS
    return Past(
        counts=counts,
        known=np.repeat(history.known, bins_per_minute),
        lead_time=lead_time,
        notes=(*notes, said),
        warnings=tuple(history.warnings()),
        repairs={what: number for what, number in history.repairs.items() if number},
        ready_replicas=history.ready_replicas,
        measured=lambda first_bin: attained(
            service, slo, start_seconds=float(edges[0]) + first_bin * BIN_SECONDS, end_seconds=float(edges[-1])
        ),
    )


def _lead_time(service: Service, given: float | None, span: Mapping[str, float]) -> tuple[LeadTime, str]:
    if given is not None:
        return LeadTime.of_median(given), f"lead time: {given:g} s, the median, as given"
    pods = pod_lead_seconds(service, start_seconds=span["start_seconds"], end_seconds=span["end_seconds"])
    learned = lead_time_from(pods)
    if learned is None:
        why = f"only {len(pods)} pods were seen to start" if service.deployment else "no --deployment was given"
        return LeadTime.of_median(DEFAULT_LEAD_SECONDS), f"lead time: {DEFAULT_LEAD_SECONDS:g} s, assumed: {why}"
    median, sigma = learned
    return (
        replace(LeadTime.of_median(median), sigma=sigma),
        f"lead time: {median:.0f} s, the median of {len(pods)} pods from creation to Ready (kube-state-metrics)",
    )


def _long_silence(counts: Counts) -> list[str]:
    """A recording cannot say whether nobody asked or nobody recorded."""
    silent = np.concatenate([[0], (counts.requests == 0).astype(np.int8), [0]])
    runs = np.flatnonzero(np.diff(silent)).reshape(-1, 2)
    longest = max((int(end - start) for start, end in runs), default=0) * BIN_SECONDS
    busy = float(np.median(counts.requests)) / BIN_SECONDS
    if longest < 1_800 or busy < 0.1:
        return []
    return [
        f"{longest / 3_600:.1f} hours in a row without a request were taken as such: was the recording interrupted?"
    ]
