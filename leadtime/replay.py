"""`leadtime replay`: decides what a controller has logged again, and says where the answer differs.

Exit status: 0 when every decision that can be made again is equal, 1 on a difference, 2 when the log cannot be used.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from autoscaler.explain.replay import Replayed, replay
from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND


def replay_command(
    logs: Annotated[
        list[Path], typer.Argument(help="Decision logs of a controller, the oldest first", metavar="LOG...")
    ],
    text: Annotated[bool, typer.Option("--print", help="Print each decision as one line")] = False,
) -> None:
    """Make every decision of a controller's log again and compare."""
    total = alone = different = 0
    first: Replayed | None = None
    with ExitStack() as stack:
        for each in replay(_lines(logs, stack)):
            total += 1
            if text:
                typer.echo(_sentence(each))
            if each.again is None:
                alone += 1
            elif each.differences:
                different += 1
                first = first or each
    if not total:
        raise BadInput(
            f"{logs[0]}: was without a decision, must be a decision log (decisionLog.path of the controller)"
        )
    typer.echo(_summary(total, alone, different))
    if first is not None:
        typer.echo(f"first difference, {_sentence(first)}")
        for difference in first.differences:
            typer.echo(f"  {difference}")
    if total == alone:
        raise BadInput(
            f"{logs[0]}: was without the state that decisions begin from, so that nothing could be compared; give the "
            "file before it as well (NAME.1, first), or let the log hold more (decisionLog.maxBytes)"
        )
    raise typer.Exit(1 if different else 0)


def _lines(logs: Iterable[Path], stack: ExitStack) -> Iterator[bytes]:
    for path in logs:
        try:
            yield from stack.enter_context(path.open("rb"))
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror or error}; give a decision log") from error


def _sentence(each: Replayed) -> str:
    at = datetime.fromtimestamp(each.at_ns / NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{at} {each.key.namespace}/{each.key.name} {each.logged.reason}: {each.logged.message}"


def _summary(total: int, alone: int, different: int) -> str:
    compared = total - alone
    said = f"{total:,} decisions: {compared - different:,} equal, {different:,} different"
    return f"{said}, {alone:,} before the first state of their object" if alone else said
