"""`leadtime batch-sizes`: throughput against latency, batch size by batch size, and which is best under an SLO."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from leadtime import scenario as options
from leadtime.outcome import console_for_tables
from leadtime.output import check_writable, write_json
from leadtime.scenario_servers import batch_profile_of
from policies.errors import BadInput
from simulations.batching import BatchProfile
from simulations.batching.batch_sizes import SIZES, BatchSizeRow, batch_size_table, best_batch_size
from simulations.batching.checks import MOST
from simulations.batching.measured import BATCH_PROFILES

_SEED_MAX = 2**32 - 1
_MOST_REQUESTS = 5_000_000
"""For each size; all are kept in memory."""


def batch_sizes_command(
    *,
    requests_per_second: Annotated[float, typer.Option(help="Demand of one server; arrivals are Poisson.")],
    p99_seconds: Annotated[float, typer.Option(help="SLO: 99 of 100 requests are answered within it.")],
    profile: Annotated[
        str | None,
        typer.Option("--profile", help=f"How long batches take: {', '.join(BATCH_PROFILES)}.", show_default=False),
    ] = None,
    measured: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE:SECONDS,...",
            help="In its place: your own batches, two sizes or more, such as 1:0.003,8:0.009; a line is fitted.",
            show_default=False,
        ),
    ] = None,
    sizes: Annotated[str, typer.Option(metavar="SIZE,...", help="Batch sizes to try.")] = ",".join(map(str, SIZES)),
    max_wait_seconds: Annotated[
        float, typer.Option(help="How long the first request of a batch waits for it to fill; 0 begins at once.")
    ] = 0.0,
    instances: Annotated[int, typer.Option(help="Batches at once on the server's GPU.")] = 1,
    pads: Annotated[
        bool, typer.Option("--pads", help="Every batch takes as long as a full one: a static shape.")
    ] = False,
    requests: Annotated[int, typer.Option(help="To simulate for each size.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 1,
    json: options.JsonOption = None,
) -> None:
    """Find the batch size of one server: each is simulated, at saturation and at the demand given."""
    options.in_range("requests", requests, 1_000, _MOST_REQUESTS)
    options.in_range("seed", seed, 0, _SEED_MAX)
    if not 0 < p99_seconds < math.inf:
        raise BadInput(f"--p99-seconds: was {p99_seconds:g}, must be above 0 and finite; give the SLO in seconds")
    if json is not None:
        check_writable("--json", json)
    try:
        batches = batch_profile_of(profile, None if measured is None else _points(measured))
        rows = batch_size_table(
            batches,
            requests_per_second=requests_per_second,
            sizes=_sizes(sizes),
            max_wait_seconds=max_wait_seconds,
            instances=instances,
            pads=pads,
            requests=requests,
            seed=seed,
        )
        best, why_none = _best(rows, p99_seconds)
    except BadInput as error:
        raise _of_the_flags(error) from None
    console = console_for_tables()
    console.print(f"{batches.name}: {batches.source}", highlight=False, markup=False, soft_wrap=True)
    console.print(_table(rows, best))
    if json is not None:
        write_json(json, _document(batches, rows, best, requests_per_second, p99_seconds))
        console.print(f"\njson: {json}", highlight=False, soft_wrap=True, markup=False)
    if best is None:
        assert why_none is not None
        raise _of_the_flags(why_none)
    console.print(
        f"\nbest: batch size {best.batch_size}, p99 {1e3 * best.p99_seconds:.1f} ms of {1e3 * p99_seconds:g} ms; of "
        f"the sizes within the SLO it answers the most, {best.saturation_requests_per_second:,.0f} requests/s",
        highlight=False,
        soft_wrap=True,
    )


def _best(rows: Sequence[BatchSizeRow], p99_seconds: float) -> tuple[BatchSizeRow | None, BadInput | None]:
    """The best row; or why there is none, which people read below the table."""
    try:
        return best_batch_size(rows, p99_seconds=p99_seconds), None
    except BadInput as error:
        return None, error


def _points(text: str) -> list[list[float]]:
    points = []
    for part in text.split(","):
        size, _, seconds = part.partition(":")
        try:
            points.append([float(int(size)), float(seconds)])
        except ValueError:
            raise BadInput(f"measured: was {part!r}, must be SIZE:SECONDS, such as 8:0.009") from None
    return points


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise BadInput(f"sizes: was {text!r}, must be whole numbers with commas between, such as 1,2,4") from None
    if sizes[0] < 1 or sizes[-1] > MOST:
        raise BadInput(f"sizes: was {text!r}, must be numbers in [1, {MOST}]; leave the others out")
    return sizes


def _of_the_flags(error: BadInput) -> BadInput:
    """The same message with the flag that the field was set by."""
    field, colon, text = str(error).partition(":")
    flag = {"batch_profile": "profile"}.get(field, field)
    return BadInput(f"--{flag.replace('_', '-')}{colon}{text}")


def _table(rows: Sequence[BatchSizeRow], best: BatchSizeRow | None) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for title in ("batch\nsize", "requests/s at\nsaturation", "\np50", "\np99", "mean\nbatch", "GPU\nbusy", "\n"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.batch_size),
            f"{row.saturation_requests_per_second:,.0f}",
            _milliseconds(row.p50_seconds),
            _milliseconds(row.p99_seconds),
            f"{row.mean_batch_size:.2f}",
            f"{row.utilization:.0%}",
            "best" if row == best else "",
        )
    return table


def _milliseconds(seconds: float) -> str:
    return "saturated" if math.isinf(seconds) else f"{1e3 * seconds:.1f} ms"


def _document(
    profile: BatchProfile,
    rows: Sequence[BatchSizeRow],
    best: BatchSizeRow | None,
    requests_per_second: float,
    p99_seconds: float,
) -> dict[str, Any]:
    """For programs; a saturated size has null for its latencies."""
    return {
        "profile": asdict(profile),
        "requests_per_second": requests_per_second,
        "p99_slo_seconds": p99_seconds,
        "sizes": [{key: None if value == math.inf else value for key, value in asdict(row).items()} for row in rows],
        "best_batch_size": None if best is None else best.batch_size,
    }
