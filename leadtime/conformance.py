"""`leadtime conformance`: is our HPA the real one? Replays recorded calls of the upstream controller.

Exit status: 0 when every vector matches, 1 on any mismatch, 2 when the input cannot be used.
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from leadtime.output import check_writable, write_json
from policies.errors import BadInput
from policies.hpa.golden import Difference, differences

GZIP_MAGIC = b"\x1f\x8b"

app = typer.Typer(help="Compare leadtime with recordings of the real thing.", no_args_is_help=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One vector after its replay."""

    id: str
    kind: str
    differences: Sequence[Difference]


@app.callback()
def conformance() -> None:
    """Compare leadtime with recordings of the real thing."""


@app.command()
def hpa(
    path: Annotated[Path, typer.Argument(help="Golden vectors, one JSON object a line: .jsonl or .jsonl.gz")],
    show: Annotated[int, typer.Option(min=0, help="How many mismatched vectors to print in full")] = 10,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="PATH", help="Write the figures here as JSON")
    ] = None,
) -> None:
    """Replay golden vectors of the Kubernetes HPA controller, v1.36.3, and count what matches."""
    try:
        if json_path is not None:
            check_writable("--json", json_path)
        replayed = _replay_all(path, _read_lines(path))
        figures = _figures(replayed)
        if json_path is not None:
            write_json(json_path, figures)
    except BadInput as error:
        typer.echo(f"conformance hpa: {error}", err=True)
        raise typer.Exit(2) from error
    console = Console()
    console.print(_table(figures))
    _print_mismatches(console, replayed, show)
    raise typer.Exit(1 if figures["mismatched"] else 0)


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """(line number, text) of each line that is not blank. Raises BadInput when the file cannot be used."""
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        text = content.decode()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{path}: is damaged or cut short ({error}); fetch it again") from error
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}; give a .jsonl or .jsonl.gz of golden vectors") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise BadInput(f"{path}: was empty, must hold at least one vector")
    return lines


def _replay_all(path: Path, lines: Sequence[tuple[int, str]]) -> list[Replayed]:
    """Every vector replayed, behind a progress bar where somebody watches. Raises BadInput with the line."""
    stderr = Console(stderr=True)
    replayed = []
    for number, line in track(
        lines, description="Replaying", console=stderr, disable=not stderr.is_terminal, transient=True
    ):
        try:
            vector = _vector(line)
            found = differences(vector)
        except BadInput as error:
            raise BadInput(f"{path}:{number}: {error}") from error
        replayed.append(Replayed(id=str(vector.get("id")), kind=str(vector["kind"]), differences=found))
    return replayed


def _vector(line: str) -> Mapping[str, Any]:
    try:
        vector = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is not JSON: {error}") from error
    if not isinstance(vector, dict):
        raise BadInput(f"was a JSON {type(vector).__name__}, must be an object with id, kind, input and want")
    return vector


def _figures(replayed: Sequence[Replayed]) -> dict[str, Any]:
    """Counts over all vectors and per kind, kinds in order of appearance."""
    by_kind = {each.kind: {"vectors": 0, "matched": 0, "mismatched": 0} for each in replayed}
    for each in replayed:
        by_kind[each.kind]["vectors"] += 1
        by_kind[each.kind]["mismatched" if each.differences else "matched"] += 1
    totals = {field: sum(row[field] for row in by_kind.values()) for field in ("vectors", "matched", "mismatched")}
    return {**totals, "by_kind": by_kind}


def _table(figures: Mapping[str, Any]) -> Table:
    table = Table("kind", title="Kubernetes HPA v1.36.3, golden vectors", show_footer=True)
    table.columns[0].footer = "total"
    for field in ("matched", "mismatched"):
        table.add_column(field, justify="right", footer=f"{figures[field]:,}")
    for kind, row in figures["by_kind"].items():
        table.add_row(kind, f"{row['matched']:,}", f"{row['mismatched']:,}")
    return table


def _print_mismatches(console: Console, replayed: Sequence[Replayed], show: int) -> None:
    """The first mismatched vectors as a diff: what was recorded behind -, what we answer behind +."""
    mismatched = [each for each in replayed if each.differences]
    for each in mismatched[:show]:
        console.print(f"\n{each.id}  {each.kind}", markup=False, highlight=False, soft_wrap=True)
        for field in each.differences:
            console.print(f"  - {field.path}: {field.want}", style="red", markup=False, highlight=False, soft_wrap=True)
            console.print(
                f"  + {field.path}: {field.got}", style="green", markup=False, highlight=False, soft_wrap=True
            )
    if len(mismatched) > show:
        console.print(f"\n{len(mismatched) - show:,} more mismatched vectors; --show prints more", highlight=False)


if __name__ == "__main__":
    app()
