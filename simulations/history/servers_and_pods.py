"""What else Prometheus knows of a service's past: how long its pods took, how long requests were, which met the SLO."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from simulations.demand.prometheus import query_matrix
from simulations.derived import percent_above
from simulations.history.minutes import Attained
from simulations.history.samples import F8, MINUTE_SECONDS
from simulations.history.server_counters import by_series
from simulations.history.service import Service
from simulations.slo import SLO

_POD_STEP_SECONDS = 300.0
_DAY_POINTS = 288
_LONGEST_SECONDS = 7_200.0
_FEWEST_PODS = 3


def pod_lead_seconds(service: Service, *, start_seconds: float, end_seconds: float) -> tuple[float, ...]:
    """From creation to the first Ready of each pod of the Deployment that became ready in the span; () without one.

    kube-state-metrics keeps the last time a pod became ready; the least over the span is the first.
    """
    if service.deployment is None:
        return ()
    namespace, name = service.deployment
    pods = f'{{namespace="{namespace}",pod=~"{name}-.+"}}'
    answer = query_matrix(
        service.url,
        f"kube_pod_status_ready_time{pods} - on (namespace, pod, uid) kube_pod_created{pods}",
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        step_seconds=_POD_STEP_SECONDS,
        most_points=_DAY_POINTS,
    )
    found = [float(samples.values.min()) for samples in by_series(answer, Counter()).values()]
    return tuple(seconds for seconds in found if 1.0 <= seconds <= _LONGEST_SECONDS)


def lead_time_from(seconds: Sequence[float]) -> tuple[float, float] | None:
    """(median, sigma of each of its two halves) of these pods' lead times; None for fewer than 3 pods."""
    if len(seconds) < _FEWEST_PODS:
        return None
    # Half of the range between the quartiles is 0.674 sigma; two independent halves have sqrt(2) as much each.
    low, high = np.quantile(np.log(np.asarray(seconds, np.float64)), [0.25, 0.75])
    return float(np.median(seconds)), min(math.sqrt(2.0) * float(high - low) / 2 / 0.674, 1.0)


def attained(service: Service, slo: SLO, *, start_seconds: float, end_seconds: float) -> Attained:
    """What the servers' histograms say of the span."""
    names, shares = service.names, list[float | None]()
    asked = ((names.ttft, names.streamed, slo.ttft_seconds), (names.tpot, "", slo.tpot_seconds))
    for name, matcher, target in asked:
        if name is None:
            shares.append(None)
            continue
        bounds, counts = _histogram(service, name, matcher, start_seconds=start_seconds, end_seconds=end_seconds)
        missed = percent_above(target, bounds, np.rint(counts).astype(np.int64)) if len(bounds) else None
        shares.append(None if missed is None else 1.0 - missed / 100.0)
    return Attained(ttft=shares[0], tpot=shares[1])


def token_cvs(service: Service, *, start_seconds: float, end_seconds: float) -> tuple[float | None, float | None]:
    """Standard deviation over mean of prompts and of answers, from the servers' histograms; None if not known.

    Each bucket's requests are taken at its geometric middle, those above the last bound at that bound.
    """
    found: list[float | None] = []
    for name in (service.names.prompt_lengths, service.names.output_lengths):
        bounds, counts = _histogram(service, name, start_seconds=start_seconds, end_seconds=end_seconds)
        if counts.sum() < 1 or len(bounds) < 2:
            found.append(None)
            continue
        lower = np.concatenate([[max(bounds[0] / 4, 0.5)], bounds])
        middles = np.sqrt(lower * np.append(bounds, bounds[-1]))
        mean = float(np.average(middles, weights=counts))
        found.append(math.sqrt(float(np.average((middles - mean) ** 2, weights=counts))) / mean)
    return found[0], found[1]


def _histogram(
    service: Service, name: str, matcher: str = "", *, start_seconds: float, end_seconds: float
) -> tuple[F8, F8]:
    """(finite upper bounds, observations per bucket in the span, the last above every bound); empty where unknown."""
    span = f"{round(end_seconds - start_seconds)}s"
    answer = query_matrix(
        service.url,
        f"sum by (le) (increase({service.series(name, matcher)}[{span}]))",
        start_seconds=end_seconds - MINUTE_SECONDS,
        end_seconds=end_seconds,
        step_seconds=float(MINUTE_SECONDS),
    )
    cumulative: dict[float, float] = {}
    for key, samples in by_series(answer, Counter()).items():
        if len(key) == 1 and key[0].startswith("le="):
            cumulative[float(key[0].removeprefix("le="))] = float(samples.values[-1])
    if math.inf not in cumulative:
        return np.zeros(0), np.zeros(0)
    bounds = sorted(cumulative)
    counts = np.diff(np.maximum.accumulate([0.0, *(cumulative[bound] for bound in bounds)]))
    return np.array(bounds[:-1]), counts
