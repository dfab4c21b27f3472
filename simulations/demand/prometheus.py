"""Prometheus as demand: a range query's requests/s, and where they are known its tokens/s.

A sample of `rate(x[5m])` is a mean over the time before it, so each sample is taken as the mean rate of the step that
ends at it, and the steps are made continuous with their means kept (`rate_curve.mean_preserving`). Ask with a step that
equals the range in brackets: then the steps' means are what was counted, and nothing is counted twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND
from simulations.demand.arrival_sampling import F8, I4
from simulations.demand.drawn import Drawn, LengthSampler
from simulations.demand.gaps import Gaps
from simulations.demand.lengths import Lognormal, generators
from simulations.demand.processes import Processes
from simulations.demand.rate_curve import RateCurve, mean_preserving

REQUESTS_QUERY = "sum(rate(vllm:request_success_total[5m]))"
PROMPT_TOKENS_QUERY = "sum(rate(vllm:prompt_tokens_total[5m]))"
OUTPUT_TOKENS_QUERY = "sum(rate(vllm:generation_tokens_total[5m]))"

MAX_MISSING_SHARE = 0.1
"""Of the steps: so many may be without a sample, and are filled from the ones beside them."""

_MAX_POINTS = 10_000
"""Of one query; Prometheus refuses more than 11,000 (web/api/v1/api.go, queryRange)."""

_TIMEOUT_SECONDS = 30
_MAX_VALUE = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A rate on an even grid: `values` per second, shape (steps,). first_seconds: Unix time, the first step's end."""

    first_seconds: float
    step_seconds: float
    values: F8


def query_range(url: str, query: str, *, start_seconds: float, end_seconds: float, step_seconds: float) -> Series:
    """The sum over a query's series. Raises BadInput. start, end: Unix time."""
    result = query_matrix(url, query, start_seconds=start_seconds, end_seconds=end_seconds, step_seconds=step_seconds)
    return series_of(result, f"{url}: {query}", step_seconds)


def query_matrix(
    url: str,
    query: str,
    *,
    start_seconds: float,
    end_seconds: float,
    step_seconds: float,
    most_points: int = _MAX_POINTS,
    on_share: Callable[[float], None] = lambda _: None,
) -> list[Mapping[str, Any]]:
    """Ask a server, in several queries where one would be too long: the series of each, as they came. Raises BadInput.

    start, end: Unix time. most_points: of one query. on_share: told which share of the span was answered.
    """
    # Imported where it is used: it takes a fifth of a second, which every command would wait for.
    from prometheus_api_client import PrometheusConnect
    from prometheus_api_client.exceptions import PrometheusApiClientException
    from requests.exceptions import RequestException

    if not start_seconds < end_seconds:
        raise BadInput(f"prometheus: start was {start_seconds:.0f}, must be before the end, {end_seconds:.0f}")
    if not 1 <= step_seconds <= 86_400:
        raise BadInput(f"step_seconds: was {step_seconds:g}, must be in [1, 86400]")
    try:
        client = PrometheusConnect(url=url, timeout=_TIMEOUT_SECONDS)
        result: list[Mapping[str, Any]] = []
        since = start_seconds
        while since <= end_seconds:
            until = min(end_seconds, since + (most_points - 1) * step_seconds)
            result += client.custom_query_range(
                query,
                datetime.fromtimestamp(since, UTC),
                datetime.fromtimestamp(until, UTC),
                f"{step_seconds:g}",
            )
            on_share((until - start_seconds) / (end_seconds - start_seconds))
            since = until + step_seconds
    except (RequestException, PrometheusApiClientException, ValueError, KeyError) as error:
        raise BadInput(
            f"prometheus: {url} did not answer {query!r} ({error}); check that it is reachable and knows the query"
        ) from None
    return result


def read_range(path: Path) -> Series:
    """A saved answer of /api/v1/query_range. Raises BadInput."""
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"prometheus: {path} does not exist; give a saved answer of /api/v1/query_range") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"prometheus: {path} is not JSON ({error}); save an answer of /api/v1/query_range") from None
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise BadInput(
            f'prometheus: {path} has no data.result of resultType "matrix"; save an answer of /api/v1/query_range'
        )
    return series_of(data["result"], str(path))


def series_of(result: Sequence[Mapping[str, Any]], where: str, step_seconds: float | None = None) -> Series:
    """The sum over a matrix's series, on an even grid. Raises BadInput.

    A missing sample is not a rate of 0: it is filled from those beside it, linearly, while few are missing.
    step_seconds: None for the smallest distance between samples.
    """
    values: dict[float, float] = {}
    for series in result:
        for sample in series.get("values", ()):
            time, value = _sample(sample, where)
            if not np.isnan(value):
                values[time] = values.get(time, 0.0) + value
    times = np.array(sorted(values))
    if len(times) < 2:
        raise BadInput(f"prometheus: {where} has {len(times)} samples, must have at least 2; ask for a longer range")
    step = float(np.diff(times).min()) if step_seconds is None else step_seconds
    places = (times - times[0]) / step
    steps = round(float(places[-1])) + 1
    if not np.allclose(places, np.rint(places), atol=1e-3):
        raise BadInput(f"prometheus: {where} has samples off the grid of {step:g} s, must be one range query's answer")
    missing = steps - len(times)
    if missing > MAX_MISSING_SHARE * steps:
        raise BadInput(
            f"prometheus: {where} lacks {missing} of {steps} samples, at most {MAX_MISSING_SHARE:.0%} may be missing; "
            "ask for a range in which the server was scraped"
        )
    filled = np.interp(np.arange(steps), places, [values[time] for time in times])
    return Series(float(times[0]), step, filled)


def _sample(sample: object, where: str) -> tuple[float, float]:
    try:
        at, value = (float(part) for part in sample)  # type: ignore[attr-defined] # what is no pair is refused below
    except (TypeError, ValueError):
        raise BadInput(f"prometheus: {where}: a sample was {sample!r}, must be [time, value]") from None
    if not (np.isnan(value) or 0 <= value <= _MAX_VALUE):
        raise BadInput(f"prometheus: {where}: a sample was {sample!r}, must be a rate in [0, {_MAX_VALUE:g}]")
    return at, value


def prometheus_demand(
    requests: Series,
    *,
    prompt: Lognormal,
    output: Lognormal,
    prompt_tokens: Series | None = None,
    output_tokens: Series | None = None,
    cv: float = 1.0,
    name: str = "prometheus",
    seed: int = 1,
) -> Drawn:
    """Arrivals at the rate of `requests`; lengths of mean tokens/s over requests/s, where tokens/s are given.

    prompt, output: laws of the lengths; their mean holds where tokens/s are not given or no requests came. cv: of the
    gaps between arrivals, 1 for Poisson.
    """
    means = requests.values
    if not (means > 0).any():
        raise BadInput(f"prometheus: {name} has only rates of 0, must have one above; ask for a range with requests")
    # The first and the last step go on beyond the ends.
    starts, middles = mean_preserving(np.concatenate([means[:1], means, means[-1:]]))
    rates = np.append(np.stack([starts[1:-1], middles[1:-1]], axis=1).ravel(), starts[-1])
    curve = RateCurve(np.arange(len(rates), dtype=np.float64) * (requests.step_seconds / 2.0), rates)
    began = requests.first_seconds - requests.step_seconds
    return Drawn(
        name=name,
        duration_seconds=float(curve.seconds[-1]),
        processes=Processes.of(curve, Gaps.of_cv(cv)),
        lengths=_LengthsByTime(
            _middles(requests), prompt, output, _ratio(prompt_tokens, requests), _ratio(output_tokens, requests)
        ),
        seed=seed,
        start_ns=round(began * NS_PER_SECOND),
    )


def _middles(series: Series) -> F8:
    """Seconds from the demand's start to the middle of each step."""
    return (np.arange(len(series.values), dtype=np.float64) + 0.5) * series.step_seconds


def _ratio(tokens: Series | None, requests: Series) -> F8 | None:
    """Tokens per request of each of the requests' steps; NaN where no request came. None where nothing is known."""
    if tokens is None:
        return None
    at = requests.first_seconds + np.arange(len(requests.values)) * requests.step_seconds
    known = tokens.first_seconds + np.arange(len(tokens.values)) * tokens.step_seconds
    ratio: F8 = np.full(len(at), np.nan)
    np.divide(np.interp(at, known, tokens.values), requests.values, out=ratio, where=requests.values > 0)
    return ratio


@dataclass(frozen=True, slots=True, eq=False)
class _LengthsByTime:
    """Means per step, linear in between; None or NaN for the law's own mean."""

    middles: F8
    prompt: Lognormal
    output: Lognormal
    prompt_means: F8 | None
    output_means: F8 | None

    def sampler(self, seed: int, client_ids: NDArray[np.int64]) -> LengthSampler:  # noqa: ARG002 - one client
        return _Sampler(self, *generators(seed, 2))

    def means(self, law: Lognormal, means: F8 | None, seconds: F8) -> F8 | None:
        if means is None:
            return None
        known = np.clip(np.where(np.isnan(means), law.mean, means), 1.0, law.max_tokens)
        smooth: F8 = np.interp(seconds, self.middles, known)
        return smooth


class _Sampler:
    def __init__(self, lengths: _LengthsByTime, prompts: np.random.Generator, outputs: np.random.Generator) -> None:
        self.lengths, self.prompts, self.outputs = lengths, prompts, outputs

    def draw(self, seconds: F8, clients: I4) -> tuple[I4, I4]:  # noqa: ARG002 - one client
        each, count = self.lengths, len(seconds)
        return (
            each.prompt.draw(self.prompts, count, each.means(each.prompt, each.prompt_means, seconds)),
            each.output.draw(self.outputs, count, each.means(each.output, each.output_means, seconds)),
        )
