"""Files that a command writes: refused early, whole or not at all."""

import json
from pathlib import Path

import pytest

from leadtime.output import check_writable, made_folders, write_json, write_text
from policies.errors import BadInput


def test_nan_becomes_null_because_json_has_none(tmp_path: Path) -> None:
    write_json(tmp_path / "figures.json", {"a": float("nan"), "b": [1.5, float("nan")], "c": {"d": "x"}})
    assert json.loads((tmp_path / "figures.json").read_text()) == {"a": None, "b": [1.5, None], "c": {"d": "x"}}


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a directory"):
        check_writable("--report", tmp_path)
    with pytest.raises(BadInput, match="cannot be written"):
        check_writable("--report", tmp_path / "missing" / "report.html")
    check_writable("--report", tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_folders_of_what_is_refused_go_again_but_none_that_was_there_or_is_full(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    counted = tmp_path / "new" / "counts" / "demand.npz"

    def refused() -> None:
        with made_folders("--out", tmp_path / "mine" / "cells", counted.parent, tmp_path / "new" / "cells"):
            counted.write_text("counted")
            raise BadInput("no such model")

    with pytest.raises(BadInput):
        refused()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "mine",
        "new",
        "new/counts",
        "new/counts/demand.npz",
    ]
