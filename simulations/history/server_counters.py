"""A service's past from Prometheus: what arrived, by the servers' own counters, and what ran.

Arrivals are counted as the policy counts them (policies/serving_counters.py): per server, the growth of answered,
running and waiting requests together, so that a queue that builds up is demand and not its absence.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from policies.errors import BadInput
from simulations.demand.prometheus import query_matrix
from simulations.history.minutes import History
from simulations.history.samples import (
    F8,
    FILLED,
    LEFT,
    MINUTE_SECONDS,
    UNKNOWN,
    Grid,
    Known,
    Samples,
    clean,
    filled,
    increases,
    means,
    spread,
)
from simulations.history.service import Service

_DAY_POINTS = 1_440
_MIX_MINUTES = 11
"""Tokens are counted when they are made, requests when they come: means a request are over so many minutes."""

Key = tuple[str, ...]
OnProgress = Callable[[str, float], None]


def read_history(service: Service, *, end_seconds: float, days: float, on_progress: OnProgress) -> History:
    """The last days before `end_seconds`, as far as Prometheus has them. Raises BadInput where it has nothing."""
    grid = Grid(end_seconds - 86_400.0 * days, round(1_440 * days))
    repairs: Counter[str] = Counter()
    notes: list[str] = []
    names = service.names

    def ask(what: str, query: str) -> dict[Key, Samples]:
        answer = query_matrix(
            service.url,
            query,
            start_seconds=grid.first_seconds,
            end_seconds=end_seconds,
            step_seconds=float(MINUTE_SECONDS),
            most_points=_DAY_POINTS,
            on_share=lambda share: on_progress(f"asking Prometheus for {what}", share),
        )
        return by_series(answer, repairs)

    answered: dict[Key, Samples] = {}
    if service.query is None:
        answered = ask("answers", service.by_server(names.answered))
        running = ask("running requests", service.gauge_by_server(names.running))
        waiting = ask("waiting requests", service.gauge_by_server(names.waiting))
        requests, known = arrivals(answered, running, waiting, grid, repairs)
        notes.append(
            f"arrivals: growth of {names.answered} + {names.running} + {names.waiting} of each server; a new server's "
            "first minute counts what it has running and waiting, not what it answered before its first sample"
        )
    else:
        rates, known = _summed_rates(ask("requests", service.query), grid, repairs)
        requests = rates * MINUTE_SECONDS
        notes.append(f"arrivals: {service.query}, in requests/s")
    if not known.any():
        raise BadInput(
            f"prometheus: {service.url} has fewer than 2 samples of "
            f"{service.query or service.by_server(names.answered)} in the last {days:g} days; check --server, "
            "--selector and --query"
        )
    tokens = [
        _tokens(ask(what, given or service.by_server(name)), given is not None, requests, grid, repairs)
        for what, given, name in (
            ("prompt tokens", service.prompt_query, names.prompt_tokens),
            ("generated tokens", service.output_query, names.output_tokens),
        )
    ]
    for label, found, mean in (
        ("prompts", tokens[0], service.prompt_tokens),
        ("answers", tokens[1], service.output_tokens),
    ):
        if found is None:
            notes.append(f"{label}: no tokens are counted; {mean:g} tokens a request are assumed")
    ready_query, what_ran = service.ready_query()
    ready = _summed(ask("replicas", ready_query), grid)
    notes.append(what_ran if ready is not None else f"what ran is not known: no samples of {ready_query}")
    return _trimmed(
        History(
            name=service.url + (f" {{{service.selector}}}" if service.selector else ""),
            grid=grid,
            requests=requests,
            prompt_tokens=_mean_or(tokens[0], grid.minutes, service.prompt_tokens),
            output_tokens=_mean_or(tokens[1], grid.minutes, service.output_tokens),
            known=known,
            ready_replicas=ready,
            repairs=repairs,
            notes=tuple(notes),
        ),
        days,
    )


def by_series(answer: Sequence[Mapping[str, Any]], repairs: Counter[str]) -> dict[Key, Samples]:
    """A range query's series, each cleaned, by its labels' values; parts of one series are joined."""
    raw: dict[Key, list[object]] = {}
    for series in answer:
        labels = series.get("metric", {})
        key = tuple(f"{name}={labels[name]}" for name in sorted(labels))
        raw.setdefault(key, []).extend(series.get("values", ()))
    cleaned = {key: clean(values, repairs) for key, values in raw.items()}
    return {key: samples for key, samples in cleaned.items() if len(samples)}


def arrivals(
    answered: Mapping[Key, Samples],
    running: Mapping[Key, Samples],
    waiting: Mapping[Key, Samples],
    grid: Grid,
    repairs: Counter[str],
) -> tuple[F8, Known]:
    """(requests that arrived in each minute, whether samples say so); shapes (minutes,)."""
    requests, known, seen = np.zeros(grid.minutes), np.zeros(grid.minutes, bool), np.zeros(grid.minutes, bool)
    for key, counter in answered.items():
        held = _at(running.get(key), counter.seconds) + _at(waiting.get(key), counter.seconds)
        grown, fell = increases(counter, repairs)
        grown = grown + held[1:] - np.where(fell, 0.0, held[:-1])
        repairs[LEFT] += int((grown < 0).sum())
        amounts, covered = spread(counter.seconds, np.maximum(grown, 0.0), grid)
        begun = np.searchsorted(grid.edges, counter.seconds[0]) - 1
        if 0 < begun < grid.minutes:
            amounts[begun] += held[0]
        requests += amounts
        known |= covered
        seen |= ~np.isnan(means(counter, grid))
    repairs[FILLED] += int((known & ~seen).sum())
    return _without(requests, known, repairs), known


def _without(values: F8, known: Known, repairs: Counter[str]) -> F8:
    """The values, where they are not known linear from those beside; nothing is said of the ends, which are cut off."""
    if not known.any():
        return values
    places = np.flatnonzero(known)
    repairs[UNKNOWN] += int((~known[places[0] : places[-1] + 1]).sum())
    return np.interp(np.arange(len(values)), places, values[known])


def _at(gauge: Samples | None, seconds: F8) -> F8:
    """A gauge's values at some instants; 0 without it."""
    return np.zeros(len(seconds)) if gauge is None else np.interp(seconds, gauge.seconds, gauge.values)


def _summed(found: Mapping[Key, Samples], grid: Grid) -> F8 | None:
    """The sum of gauges in each minute, NaN where none has a sample; None without any."""
    if not found:
        return None
    rows = [means(samples, grid) for samples in found.values()]
    total = np.nansum(rows, axis=0)
    return np.where(np.isnan(rows).all(axis=0), np.nan, total)


def _summed_rates(found: Mapping[Key, Samples], grid: Grid, repairs: Counter[str]) -> tuple[F8, Known]:
    total = _summed(found, grid)
    if total is None or np.count_nonzero(~np.isnan(total)) < 2:
        return np.zeros(grid.minutes), np.zeros(grid.minutes, bool)
    there = np.flatnonzero(~np.isnan(total))
    inside = slice(there[0], there[-1] + 1)
    values, known = np.zeros(grid.minutes), np.zeros(grid.minutes, bool)
    values[inside], known[inside] = filled(total[inside], repairs)
    return values, known


def _tokens(found: Mapping[Key, Samples], is_rate: bool, requests: F8, grid: Grid, repairs: Counter[str]) -> F8 | None:
    """Mean tokens a request of each minute, NaN where no request came; None where nothing is counted."""
    if is_rate:
        rates, known = _summed_rates(found, grid, repairs)
        tokens = rates * MINUTE_SECONDS
    else:
        tokens, known = np.zeros(grid.minutes), np.zeros(grid.minutes, bool)
        for counter in found.values():
            amounts, covered = spread(counter.seconds, increases(counter, repairs)[0], grid)
            tokens += amounts
            known |= covered
    window = np.ones(min(_MIX_MINUTES, grid.minutes))
    some = np.convolve(np.where(known, requests, 0.0), window, mode="same")
    mean: F8 = np.full(grid.minutes, np.nan)
    np.divide(np.convolve(tokens, window, mode="same"), some, out=mean, where=some > 0.5)
    mean[~(mean > 0)] = np.nan
    return None if np.isnan(mean).all() else mean


def _mean_or(found: F8 | None, minutes: int, mean: float) -> F8:
    """Where no request came, as in the minutes beside; the assumed mean without any counter."""
    if found is None:
        return np.full(minutes, mean)
    there = np.flatnonzero(~np.isnan(found))
    return np.maximum(np.interp(np.arange(minutes), there, found[there]), 1.0)


def _trimmed(history: History, days: float) -> History:
    """Without the minutes before the first and after the last that is known."""
    there = np.flatnonzero(history.known)
    kept = slice(int(there[0]), int(there[-1]) + 1)
    minutes = kept.stop - kept.start
    note = f"history: Prometheus has {minutes / 1_440:.2f} of the {days:g} days asked for"
    ready = history.ready_replicas
    return replace(
        history,
        grid=Grid(history.grid.first_seconds + MINUTE_SECONDS * kept.start, minutes),
        requests=history.requests[kept],
        prompt_tokens=history.prompt_tokens[kept],
        output_tokens=history.output_tokens[kept],
        known=history.known[kept],
        ready_replicas=None if ready is None else ready[kept],
        notes=(*history.notes, note) if minutes < history.grid.minutes else history.notes,
    )
