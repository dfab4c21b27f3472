"""`leadtime backtest`: how good its forecasts would have been on a recording or Prometheus' history, beside rivals."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from leadtime.outcome import console_for_tables
from leadtime.output import check_writable, write_json, write_text
from leadtime.scenario import in_range
from policies.errors import BadInput
from policies.forecast.bins import BIN_SECONDS
from policies.forecast.spec import ForecastSpec, check
from simulations.backtest.minutes import F8, check_minutes, minute_rates
from simulations.backtest.scores import SCORED
from simulations.backtest.statistical import check_available
from simulations.backtest.walk_forward import (
    AUTO_ETS,
    LEADTIME,
    MSTL,
    RIVALS,
    Backtest,
    BacktestPlan,
    backtest,
    default_start,
)
from simulations.backtest.walk_forward import (
    Progress as OnProgress,
)
from simulations.demand.prometheus import query_range
from simulations.demand.text import demand_from
from simulations.report.backtest_page import TITLES, backtest_html, row_cells

QUERY = "sum(rate(vllm:request_success_total[1m]))"
QUICK_HOURS = 6.0
HORIZONS_SECONDS = (120, 300, 600)


def backtest_command(
    *,
    demands: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Recordings (Azure or plain CSV, Mooncake JSONL; .gz too), ServeGen prefixes, or generators.",
        ),
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="Judge on a Prometheus server's history.", show_default=False)
    ] = None,
    query: Annotated[str, typer.Option(help="PromQL of requests/s, with a range of a minute.")] = QUERY,
    days: Annotated[float, typer.Option(help="Of Prometheus' history, up to now.")] = 14.0,
    horizon_seconds: Annotated[
        list[int] | None,
        typer.Option("--horizon-seconds", help="Repeat for more.", show_default="120, 300 and 600"),
    ] = None,
    train_days: Annotated[
        float | None,
        typer.Option(help="Of history before the judged part.", show_default="7 of 8 or more, else half"),
    ] = None,
    keep: Annotated[float, typer.Option(help="Share of the requests that is kept, a coin each.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn: tables, generators, thinning.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help=f"Judge the last {QUICK_HOURS:g} hours only.")] = False,
    statsforecast: Annotated[
        bool, typer.Option("--statsforecast/--no-statsforecast", help="With AutoETS and MSTL, which take minutes.")
    ] = True,
    report: Annotated[Path, typer.Option(help="HTML report to write.")] = Path("leadtime-backtest.html"),
    json: Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write the table's figures.")] = None,
) -> None:
    """Judge forecasts by pinball loss, coverage and width, against four rivals; `leadtime whatif` judges decisions."""
    if bool(demands) == bool(prometheus):
        raise BadInput("PATH and --prometheus: one of the two must be given; a recording, or a server's address")
    horizons = _horizons(horizon_seconds)
    in_range("days", days, 0.05, 400.0)
    in_range("train-days", train_days, 0.0, 400.0)
    in_range("seed", seed, 0, 2**32 - 1)
    spec = ForecastSpec(horizons_seconds=tuple(sorted({*ForecastSpec().horizons_seconds, *horizons})))
    check(spec)
    if statsforecast:
        check_available()
    for option, path in (("--report", report), ("--json", json)):
        if path is not None:
            check_writable(option, path)
    rivals = tuple(each for each in RIVALS if statsforecast or each not in (AUTO_ETS, MSTL))
    console = console_for_tables()
    judged = []
    with _following(console) as follow:
        for name, series in _series(demands or [], prometheus, query, days, keep, seed, follow):
            plan = BacktestPlan(
                start=_start(series, train_days, horizons[-1] // BIN_SECONDS, quick),
                horizons_seconds=horizons,
                rivals=rivals,
                spec=spec,
            )
            judged.append(backtest(name, series, plan, _named(name, follow)))
            _print(console, judged[-1])
    write_text(report, backtest_html(judged))
    console.print(f"report: {report}", highlight=False, soft_wrap=True)
    if json is not None:
        write_json(json, document(judged))
        console.print(f"json: {json}", highlight=False, soft_wrap=True)


def document(judged: Sequence[Backtest]) -> dict[str, Any]:
    """The figures of the tables, as docs/reference/backtest.md describes them."""
    return {
        "demands": [
            {
                "demand": each.name,
                "history_minutes": each.start,
                "judged_minutes": len(each.series) - each.start,
                "not_applicable": dict(each.not_applicable),
                "gain": {str(seconds): each.gain(seconds) for seconds in each.bands},
                "scores": [
                    {
                        "model": score.model,
                        "horizon_seconds": score.horizon_seconds,
                        "pinball": {f"{level:g}": loss for level, loss in zip(SCORED, score.pinball, strict=True)},
                        "mean_pinball": score.mean_pinball,
                        "coverage_95": score.coverage,
                        "width_95": score.width,
                        "outcomes": score.outcomes,
                        "form": score.how or None,
                    }
                    for score in each.scores
                ],
            }
            for each in judged
        ]
    }


def _horizons(given: list[int] | None) -> tuple[int, ...]:
    horizons = tuple(sorted(set(given or HORIZONS_SECONDS)))
    for seconds in horizons:
        if seconds % BIN_SECONDS or not BIN_SECONDS <= seconds <= 7_200:
            raise BadInput(
                f"--horizon-seconds: was {seconds}, must be a multiple of {BIN_SECONDS} in [{BIN_SECONDS}, 7200]"
            )
    return horizons


def _start(series: F8, train_days: float | None, longest: int, quick: bool) -> int:
    """The first judged origin."""
    start = default_start(len(series)) if train_days is None else round(1_440 * train_days)
    if not quick:
        return start
    return max(start, len(series) - longest - round(60 * QUICK_HOURS))


def _series(
    demands: Sequence[str],
    prometheus: str | None,
    query: str,
    days: float,
    keep: float,
    seed: int,
    follow: OnProgress,
) -> Iterator[tuple[str, F8]]:
    """(name, requests/s of each minute) of each demand. Raises BadInput."""
    if prometheus is not None:
        end = datetime.now(UTC).timestamp() // BIN_SECONDS * BIN_SECONDS
        asked = query_range(
            prometheus,
            query,
            start_seconds=end - 86_400.0 * days,
            end_seconds=end,
            step_seconds=float(BIN_SECONDS),
        )
        check_minutes(len(asked.values), prometheus)
        yield prometheus, np.asarray(asked.values, np.float64)
    for text in demands:
        demand = demand_from(text, seed=seed, keep=keep)
        yield text, minute_rates(demand, partial(_named(text, follow), "reading"))


def _named(name: str, follow: OnProgress) -> OnProgress:
    """Progress of one demand's stages."""
    return lambda stage, share: follow(f"{name}: {stage}", share)


@contextmanager
def _following(console: Console) -> Iterator[OnProgress]:
    """A bar on a terminal, on stderr; elsewhere a line for each stage when it begins."""
    told = Console(stderr=True)
    stage: list[str] = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=told,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=1.0)

        def follow(description: str, share: float) -> None:
            if stage[-1:] != [description]:
                stage[:] = [description]
                progress.reset(task, total=1.0, description=description)
                if not console.is_terminal:
                    told.print(description, highlight=False, markup=False, soft_wrap=True)
            progress.update(task, completed=share)

        yield follow


def _print(console: Console, each: Backtest) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for place, title in enumerate(TITLES):
        table.add_column(title.replace(" ", "\n", 1), justify="left" if place in (0, len(TITLES) - 1) else "right")
    for score in each.scores:
        table.add_row(*row_cells(score), style="bold" if score.model == LEADTIME else "")
    judged = len(each.series) - each.start
    console.print(f"\n{each.name}: {each.start:,} minutes of history, {judged:,} judged", highlight=False, markup=False)
    console.print(table)
    for name, why in each.not_applicable.items():
        console.print(f"{name}: not applicable, {why}", highlight=False, soft_wrap=True)
    for seconds in each.bands:
        best, gain = each.best_rival(seconds), each.gain(seconds)
        if best is not None and gain is not None:
            console.print(
                f"{seconds} s: mean pinball loss {abs(gain):.1%} {'below' if gain >= 0 else 'above'} the best rival's "
                f"({best.model})",
                highlight=False,
                soft_wrap=True,
            )
