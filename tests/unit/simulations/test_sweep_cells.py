"""Cells: how they are known, kept and run; a cell that fails, or kills its process, takes no other with it."""

from pathlib import Path
from typing import Any, cast

import pytest

from policies.errors import BadInput
from simulations.sweep.cells import Cell, CellFolder, Content, Outcome, Task, attempt
from simulations.sweep.on_ray import run_on_ray
from simulations.sweep.processes import available_cores, run_on_processes

EVALUATE = cast("Task", eval)
"""A task that any process can find: its cells' contents are expressions."""


def cell(expression: str) -> Cell:
    return Cell.of(cast("Content", expression))


def run(expressions: list[str], workers: int) -> dict[str, Outcome]:
    return {str(each.content): outcome for each, outcome in run_on_processes(EVALUATE, map(cell, expressions), workers)}


def test_a_cell_is_known_by_its_content_whatever_its_order() -> None:
    one = Cell.of({"a": 1, "b": {"c": 2.5, "d": None}})
    assert Cell.of({"b": {"d": None, "c": 2.5}, "a": 1}).key == one.key
    assert Cell.of({"a": 1, "b": {"c": 2.5, "d": 0}}).key != one.key


def test_a_finished_cell_is_read_back_and_a_torn_or_foreign_file_is_none(tmp_path: Path) -> None:
    folder, one = CellFolder(tmp_path), Cell.of({"a": 1})
    assert folder.read(one.key) is None
    folder.write(one, {"gpu_hours": 1.25, "ttft": None})
    assert folder.read(one.key) == {"gpu_hours": 1.25, "ttft": None}
    (file,) = tmp_path.iterdir()
    whole = file.read_text()
    for torn in ("", whole[: len(whole) // 2], "[]", whole.replace(one.key, "another")):
        file.write_text(torn)
        assert folder.read(one.key) is None


def raising(error: Exception) -> Task:
    def task(_: Content) -> dict[str, Any]:
        raise error

    return task


def test_whatever_goes_wrong_in_a_cell_is_its_outcome_in_one_line() -> None:
    refused = attempt(raising(BadInput("seed: was 1,\n  must be 2")), {})
    assert refused == Outcome(error="seed: was 1,; must be 2", is_bad_input=True)
    crashed = attempt(raising(ZeroDivisionError("division by zero")), {})
    assert crashed.error is not None
    assert crashed.error.startswith("ZeroDivisionError at test_sweep_cells.py:")
    assert not crashed.is_bad_input


def test_a_killed_process_is_one_failed_cell_and_the_others_are_run() -> None:
    """As when the kernel ends a process that takes too much memory; SIGKILL cannot be caught."""
    suicide = "__import__('os').kill(__import__('os').getpid(), 9)"
    leaving = "__import__('os')._exit(3)"
    sums = [f"{{'sum': {number} + 1}}" for number in range(8)]
    outcomes = run([sums[0], suicide, *sums[1:4], "1 // 0", leaving, *sums[4:]], workers=2)
    assert outcomes.pop(suicide).error == "its process was ended by SIGKILL; if memory was short, use fewer --workers"
    assert outcomes.pop(leaving).error == "its process ended with exit code 3"
    assert str(outcomes.pop("1 // 0").error).startswith("ZeroDivisionError")
    assert [outcomes[each].figures for each in sums] == [{"sum": number + 1} for number in range(8)]


def test_closing_the_runs_ends_their_processes() -> None:
    """Ctrl-C must not leave a core busy: the process of the cell that sleeps is gone."""
    ticking = run_on_processes(
        EVALUATE, [cell("{'pid': __import__('os').getpid()}"), cell("__import__('time').sleep(60)")], 1
    )
    _, first = next(ticking)
    assert first.figures is not None
    pid = first.figures["pid"]
    assert Path(f"/proc/{pid}").exists() or not Path("/proc").exists()
    ticking.close()
    assert not Path(f"/proc/{pid}/exe").exists()


def test_at_least_one_core_is_there() -> None:
    assert available_cores() >= 1


def test_ray_that_is_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)  # an import of it fails, installed or not
    with pytest.raises(BadInput, match=r"Ray is not installed; pip install 'leadtime\[ray\]'"):
        next(run_on_ray(EVALUATE, [cell("{}")], "auto"))
