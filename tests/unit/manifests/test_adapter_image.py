"""The image holds what the adapter imports and nothing else, and what its Dockerfile copies is there.

There is no container engine here, so the image itself is not built. With LEADTIME_REPLAY_DOCKERFILE=1 the steps of
its build stage run in a folder instead, with this machine's Python (a minute, and the package index), and the
adapter starts from the result.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STEPS = [
    (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1])
    for line in re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    if line and not line.startswith("#")
]
BUILD_STAGE = STEPS[: next(i for i, step in enumerate(STEPS) if step[0] == "FROM" and " AS " not in step[1])]


def locked(file: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package -> its version and hashes."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / file).read_text()):
        if pin := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", block):
            found[pin[1].lower()] = (pin[2], frozenset(re.findall(r"--hash=(\S+)", block)))
    return found


def test_the_images_lock_is_a_part_of_the_projects() -> None:
    """The same versions and hashes, so that what the tests ran is what is shipped."""
    part, whole = locked("requirements-adapter.lock"), locked("requirements.lock")
    assert part.items() <= whole.items()
    assert not {"numba", "numpy", "pyarrow", "plotly", "hatchling"} & part.keys()
    asked = {
        line.strip() for line in (ROOT / "requirements-adapter.in").read_text().splitlines() if not line.startswith("#")
    }
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert asked <= {re.match(r"[A-Za-z0-9-]+", each)[0] for each in declared}  # type: ignore[index]
    assert asked <= part.keys()


def test_every_module_of_the_adapter_imports_with_the_images_packages_alone() -> None:
    script = (
        "import importlib, pkgutil, sys, adapter\n"
        "for module in pkgutil.walk_packages(adapter.__path__, 'adapter.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert not {"policies", "simulations", "autoscaler", "leadtime"} & imported, "the image holds only adapter"
    owners = packages_distributions()
    needed = {owner.lower().replace("_", "-") for name in imported for owner in owners.get(name, ())} - {"leadtime"}
    lock = {name.replace("_", "-") for name in locked("requirements-adapter.lock")}
    assert needed - lock <= {"setuptools", "pip"}


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    """.dockerignore shuts everything out but the sources of COPY."""
    copied = {
        source for name, rest in STEPS if name == "COPY" and "--from" not in rest for source in shlex.split(rest)[:-1]
    }
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignore[0] == "*"
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_base_is_pinned_and_both_stages_are_of_it() -> None:
    """The virtual environment's Python is a link to the base's, at the same place in both."""
    (base,) = (rest for name, rest in STEPS if name == "ARG")
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert [rest for name, rest in STEPS if name == "FROM"] == ["${BASE} AS build", "${BASE}"]
    assert "--require-hashes" in DOCKERFILE


def test_it_runs_as_nobody_and_writes_no_bytecode() -> None:
    last = dict(STEPS[len(BUILD_STAGE) :])
    user, group = last["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert "PYTHONDONTWRITEBYTECODE=1" in last["ENV"]
    assert last["ENTRYPOINT"] == '["python", "-m", "adapter"]'
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in last["LABEL"]


@pytest.mark.skipif(
    not os.environ.get("LEADTIME_REPLAY_DOCKERFILE"),
    reason="set LEADTIME_REPLAY_DOCKERFILE=1 to run the build stage's steps in a folder (a minute; package index)",
)
def test_the_build_stages_steps_give_an_adapter_that_starts(tmp_path: Path) -> None:
    """`python` is this one's base; absolute paths of the image lie under tmp_path."""
    python = Path(sys._base_executable)  # type: ignore[attr-defined]
    work = tmp_path
    for name, rest in BUILD_STAGE:
        text = re.sub(r"/opt/leadtime", str(tmp_path / "opt"), rest)
        if name == "WORKDIR":
            work = tmp_path / text.strip("/")
            work.mkdir(parents=True)
        elif name == "COPY":
            *sources, target = shlex.split(text)
            for source in sources:
                subprocess.run(["cp", "-r", ROOT / source, work / target], check=True)  # noqa: S603, S607
        elif name == "RUN":
            command = [str(python) if word == "python" else word for word in shlex.split(text)]
            subprocess.run(command, cwd=work, check=True, timeout=300)  # noqa: S603
    command = [str(tmp_path / "opt" / "bin" / "python"), "-P", "-m", "adapter", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    assert "serve" in done.stdout
