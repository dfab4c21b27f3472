"""`leadtime policies`: every autoscaler that can be run, with its parameters and where its rule comes from."""

from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from leadtime.outcome import console_for_tables
from leadtime.output import check_writable, write_json
from policies.capacity.profile import Profile
from policies.entry import PolicyEntry, parameters
from policies.registry import ENTRIES, named, required


def policies(
    *,
    name: Annotated[str | None, typer.Argument(help="One policy in detail.", show_default=False)] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="PATH", help="Write the list here as JSON.")
    ] = None,
) -> None:
    """List the policies: leadtime's own, the HPA, and the autoscalers that people would pick instead."""
    chosen = list(ENTRIES.values()) if name is None else [named(name)]
    if json_path is not None:
        check_writable("--json", json_path)
        write_json(json_path, {"policies": [document(entry) for entry in chosen]})
    console = console_for_tables()
    if name is None:
        console.print(overview(chosen))
    for entry in chosen if name is not None else ():
        _print_detail(console, entry)
    if json_path is not None:
        console.print(f"\njson: {json_path}", highlight=False, soft_wrap=True, markup=False)


def document(entry: PolicyEntry) -> dict[str, Any]:
    """One policy for programs; `default` is null where a parameter is required or its default is none."""
    needed = required(entry)
    return {
        "name": entry.name,
        "summary": entry.summary,
        "source": entry.source,
        "knob": entry.knob,
        "parameters": [
            {
                "name": each.name,
                "unit": each.unit,
                "required": each.name in needed,
                "default": _plain(each.default),
                "help": each.help,
            }
            for each in parameters(entry)
        ],
    }


def overview(entries: Iterable[PolicyEntry]) -> Table:
    """One row a policy: what it is and where from; a line each for its parameters, the knob with a star."""
    table = Table(title="Policies; `leadtime policies NAME` says what each parameter means", show_lines=True)
    table.add_column("policy", no_wrap=True)
    table.add_column("what it does, and its source", ratio=2, overflow="fold")
    table.add_column("parameter = default (unit); * is the knob, ? must be given", ratio=3, overflow="fold")
    for entry in entries:
        needed = required(entry)
        lines = [
            f"{'*' if each.name == entry.knob else ' '} {each.name} = "
            f"{'?' if each.name in needed else as_text(each.default)} ({each.unit})"
            for each in parameters(entry)
        ]
        table.add_row(*map(_unmarked, (entry.name, f"{entry.summary}\n\n{entry.source}", "\n".join(lines))))
    return table


def as_text(value: Any) -> str:
    """A value as a person types it back."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Profile):
        return value.name
    if isinstance(value, tuple):
        separator = "," if all(isinstance(each, int | float) for each in value) else "; "
        return separator.join(as_text(each) for each in value)
    return str(value)


def _print_detail(console: Console, entry: PolicyEntry) -> None:
    for line in (f"{entry.name}: {entry.summary}", f"source: {entry.source}", f"knob: {entry.knob}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table("parameter", "unit", "default", "meaning")
    for column in table.columns:
        column.overflow = "fold"
    needed = required(entry)
    for each in parameters(entry):
        default = "(required)" if each.name in needed else as_text(each.default)
        table.add_row(*map(_unmarked, (each.name, each.unit, default, each.help)))
    console.print(table)


def _unmarked(text: str) -> str:
    """Rich reads [..] as markup; names and units mean it literally."""
    return text.replace("[", r"\[")


def _plain(value: Any) -> Any:
    """The default in JSON's types."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
