"""ServeGen's tables as demand: rates made continuous, one renewal process a client, lengths from its histograms.

The tables give a constant rate for each 600 s window, on one grid for all clients. Here every client's rate is
continuous with the mean of each window kept (`rate_curve.mean_preserving`), and every client has a phase of its own,
uniform in one window and drawn from the seed, so that no edge of a window is common to all and none can be learned.
What the phase moves past the end of the table comes in at its start: the table runs in a circle.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from simulations.demand.arrival_sampling import KNOT, Records
from simulations.demand.drawn import START_NS, Drawn
from simulations.demand.gaps import POISSON
from simulations.demand.histograms import HistogramLengths, alias_tables
from simulations.demand.processes import Processes, streams
from simulations.demand.rate_curve import mean_preserving
from simulations.demand.servegen_tables import BLOCK_SECONDS, FIELDS, Tables, rates_file, read_tables

WINDOW_SECONDS = 600.0


def is_servegen(prefix: Path) -> bool:
    """Whether tables of that prefix are there."""
    return bool(prefix.name) and is_file(rates_file(prefix))


def is_file(path: Path) -> bool:
    """Whether that is a file; also for what is no path at all, such as a generator's long text."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_servegen(
    prefix: Path,
    *,
    seed: int = 1,
    start_seconds: float = 0.0,
    seconds: float | None = None,
    rate_factor: float = 1.0,
    keep: float = 1.0,
    max_clients: int | None = None,
    system_prompt_tokens: int = 0,
    lora_adapters: int = 0,
    start_ns: int = START_NS,
) -> Drawn:
    """The demand of PREFIX-rates.csv.gz and PREFIX-lengths.csv.gz. Raises BadInput.

    start_seconds, seconds: which part of the table; all of it. rate_factor: multiplies every rate; bursts stay as
    bursty, counted in requests. keep: keeps each request with that probability, which makes bursts milder. max_clients:
    only those with most requests. system_prompt_tokens, lora_adapters: see `Drawn`. start_ns: Unix ns of second zero.
    """
    tables = read_tables(prefix)
    rates, law = _grids(tables, prefix)
    span = rates.shape[1] * WINDOW_SECONDS
    length = span - start_seconds if seconds is None else seconds
    for field, value, low, high in (
        ("start_seconds", start_seconds, 0.0, span - WINDOW_SECONDS),
        ("seconds", length, 1.0, span),
        ("rate_factor", rate_factor, 1e-6, 1e6),
        ("max_clients", max_clients or 1, 1, 1_000_000),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field}: was {value:g}, must be in [{low:g}, {high:g}] for {prefix}")
    clients = np.array(sorted({window.client for window in tables.windows}))
    if max_clients is not None and max_clients < len(clients):
        rows = np.sort(np.argsort(-rates.sum(axis=1), kind="stable")[:max_clients])
        clients, rates, law = clients[rows], rates[rows], law[rows]
    # Uniform in [0, 1): the upper 53 bits of one word of each client's own.
    words = streams(seed, clients, "phase") >> np.uint64(11)
    phases = words.astype(np.float64) * (2.0**-53 * WINDOW_SECONDS)
    knots = [
        _knots(rate * rate_factor, gaps, start_seconds + phase, length)
        for rate, gaps, phase in zip(rates, law, phases, strict=True)
    ]
    return Drawn(
        name=tables.name,
        duration_seconds=length,
        processes=Processes.side_by_side(clients, knots),
        lengths=_lengths(tables, clients, start_seconds + phases, span),
        seed=seed,
        start_ns=start_ns + round(start_seconds * 1e9),
        keep=keep,
        system_prompt_tokens=system_prompt_tokens,
        lora_adapters=lora_adapters,
    )


def _grids(tables: Tables, prefix: Path) -> tuple[NDArray[np.float64], NDArray[np.void]]:
    """(requests/s, law of the gaps) of each client and window; shape (clients, windows), clients ascending."""
    row = {client: at for at, client in enumerate(sorted({window.client for window in tables.windows}))}
    windows = 1 + round(max(window.start_seconds for window in tables.windows) / WINDOW_SECONDS)
    rates = np.zeros((len(row), windows))
    law = np.zeros((len(row), windows), KNOT)
    law["family"], law["shape"], law["scale"] = POISSON.family, POISSON.shape, POISSON.scale
    for window in tables.windows:
        column = round(window.start_seconds / WINDOW_SECONDS)
        if column * WINDOW_SECONDS != window.start_seconds:
            raise BadInput(
                f"{rates_file(prefix)}: window_start_s was {window.start_seconds:g}, must be a multiple of "
                f"{WINDOW_SECONDS:g}"
            )
        at = row[window.client], column
        rates[at] = window.rps
        law["family"][at], law["shape"][at], law["scale"][at] = window.gaps.family, window.gaps.shape, window.gaps.scale
    return rates, law


def _knots(rates: NDArray[np.float64], law: NDArray[np.void], since: float, seconds: float) -> Records:
    """One client's knots, cut from its table's circle at `since` seconds, for `seconds`."""
    starts, middles = mean_preserving(rates)
    windows = len(rates)
    turns = 1 + int(np.ceil((since + seconds) / (windows * WINDOW_SECONDS)))
    knots = np.repeat(np.tile(law, turns), 2)
    knots["seconds"] = np.arange(len(knots)) * (WINDOW_SECONDS / 2.0)
    knots["rps"] = np.tile(np.stack([starts, middles], axis=1).ravel(), turns)
    ends = np.interp([since, since + seconds], knots["seconds"], knots["rps"])
    first = int(np.searchsorted(knots["seconds"], since, side="right")) - 1
    last = int(np.searchsorted(knots["seconds"], since + seconds, side="left"))
    cut = knots[first : last + 1].copy()
    cut["seconds"] -= since
    cut["seconds"][[0, -1]] = 0.0, seconds
    cut["rps"][[0, -1]] = ends
    return cut


def _lengths(
    tables: Tables, clients: NDArray[np.int64], clock_seconds: NDArray[np.float64], span: float
) -> HistogramLengths:
    """Per client and 6-hour block its own histogram, else that of its nearest block, else the model's pooled one.

    Around the edge of two blocks the one gives way to the other within one window.
    """
    wanted = {int(client) for client in clients}
    keys = [key for key in tables.histograms if key[0] in wanted]
    pooled = _pooled(tables)
    table, first = alias_tables([*(tables.histograms[key] for key in keys), *(pooled[field] for field in FIELDS)])
    known: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    for number, (client, start, field) in enumerate(keys):
        known[client, field].append((round(start / BLOCK_SECONDS), number))
    blocks = int(np.ceil(span / BLOCK_SECONDS))
    histograms = np.empty((len(clients), blocks, 2 * len(FIELDS)), np.int32)
    for row, client in enumerate(clients):
        for at, field in enumerate(FIELDS):
            choices = sorted(known[int(client), field])
            for block in range(blocks):
                number = len(keys) + at
                if choices:
                    number = min(choices, key=lambda choice: abs(choice[0] - block))[1]
                histograms[row, block, 2 * at : 2 * at + 2] = first[number], first[number + 1] - first[number]
    return HistogramLengths(
        clock_seconds=clock_seconds,
        block_seconds=BLOCK_SECONDS,
        circle_seconds=span,
        blend_seconds=WINDOW_SECONDS,
        histograms=histograms,
        bins=table,
    )


def _pooled(tables: Tables) -> dict[str, dict[tuple[float, float], float]]:
    """The model's histograms, each weighted by the requests of its client in its block."""
    requests: dict[tuple[int, int], float] = defaultdict(float)
    for window in tables.windows:
        requests[window.client, int(window.start_seconds // BLOCK_SECONDS)] += window.rps * WINDOW_SECONDS
    pooled: dict[str, dict[tuple[float, float], float]] = {field: defaultdict(float) for field in FIELDS}
    for (client, start, field), bins in tables.histograms.items():
        # A block without requests in the rates table still counts as one.
        weight = max(1.0, requests[client, round(start / BLOCK_SECONDS)])
        for edges, probability in bins.items():
            pooled[field][edges] += weight * probability
    return pooled
