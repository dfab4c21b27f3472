"""Each image holds what its server imports and nothing else, and what the Dockerfile copies is there.

There is no container engine here, so the images themselves are not built. With LEADTIME_REPLAY_DOCKERFILE=1 the steps
of their build stages run in a folder instead, with this machine's Python (a minute, and the package index), and the
servers start from the result.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STEPS = [
    (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1])
    for line in re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    if line and not line.startswith("#")
]
PACKAGES = {"adapter": ("adapter",), "controller": ("adapter", "policies", "autoscaler")}
"""The project's own, by image; the last one is what starts."""
NOT_THERE = {
    "adapter": {"numba", "numpy", "pyarrow", "plotly", "hatchling"},
    "controller": {"numba", "pyarrow", "plotly", "hatchling", "httptools"},
}
images = pytest.mark.parametrize("image", PACKAGES)


def stage(name: str) -> list[tuple[str, str]]:
    """Its own steps, without those that it stands on."""
    steps: list[tuple[str, str]] = []
    inside = False
    for step in STEPS:
        if step[0] == "FROM":
            inside = step[1].endswith(f" AS {name}")
        elif inside:
            steps.append(step)
    assert steps, name
    return steps


def locked(file: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package -> its version and hashes."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / file).read_text()):
        if pin := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", block):
            found[pin[1].lower()] = (pin[2], frozenset(re.findall(r"--hash=(\S+)", block)))
    return found


@images
def test_an_images_lock_is_a_part_of_the_projects(image: str) -> None:
    """The same versions and hashes, so that what the tests ran is what is shipped."""
    part, whole = locked(f"requirements-{image}.lock"), locked("requirements.lock")
    assert part.items() <= whole.items()
    assert not NOT_THERE[image] & part.keys()
    lines = (ROOT / f"requirements-{image}.in").read_text().splitlines()
    asked = {line.strip() for line in lines if not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    assert asked <= {re.match(r"[A-Za-z0-9-]+", each)[0] for each in declared}  # type: ignore[index]
    assert asked <= part.keys()


@images
def test_every_module_imports_with_the_images_packages_alone(image: str) -> None:
    server = PACKAGES[image][-1]
    script = (
        f"import importlib, pkgutil, sys, {server}\n"
        f"for module in pkgutil.walk_packages({server}.__path__, '{server}.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(*(module.__file__ for module in sys.modules.values() if getattr(module, '__file__', None)), sep='\\n')\n"
    )
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    names, *files = done.stdout.splitlines()
    imported = set(names.split())
    ours = {"adapter", "policies", "simulations", "autoscaler", "leadtime"}
    assert imported & ours == set(PACKAGES[image]), "the image holds only these"
    lock = {name.replace("_", "-") for name in locked(f"requirements-{image}.lock")}
    assert owners_of(files) - lock <= {"setuptools", "pip", "leadtime"}


def owners_of(files: list[str]) -> set[str]:
    """The installed distributions that these files came with; several share a package such as google.cloud."""
    loaded = set(files)
    return {
        one.metadata["Name"].lower().replace("_", "-")
        for one in distributions()
        if any(file.suffix in {".py", ".so"} and str(one.locate_file(file)) in loaded for file in one.files or ())
    }


@images
def test_an_image_holds_its_packages_and_its_lock(image: str) -> None:
    copied = [rest.split()[0] for name, rest in stage(f"{image}-build") if name == "COPY"]
    assert copied == [f"requirements-{image}.lock", *PACKAGES[image]]


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    """.dockerignore shuts everything out but the sources of COPY."""
    copied = {
        source for name, rest in STEPS if name == "COPY" and "--from" not in rest for source in shlex.split(rest)[:-1]
    }
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignore[0] == "*"
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_base_is_pinned_and_build_and_runtime_are_of_it() -> None:
    """The virtual environment's Python is a link to the base's, at the same place in both. The adapter comes last."""
    (base,) = (rest for name, rest in STEPS if name == "ARG")
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    froms = [rest for name, rest in STEPS if name == "FROM"]
    assert froms == [
        "${BASE} AS build",
        *(f"build AS {image}-build" for image in PACKAGES),
        "${BASE} AS runtime",
        "runtime AS controller",
        "runtime AS adapter",
    ]
    assert DOCKERFILE.count("--require-hashes") == len(PACKAGES)


@images
def test_it_runs_as_nobody_and_writes_no_bytecode(image: str) -> None:
    runtime, last = dict(stage("runtime")), dict(stage(image))
    user, group = runtime["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert "PYTHONDONTWRITEBYTECODE=1" in runtime["ENV"]
    assert last["ENTRYPOINT"] == f'["python", "-m", "{PACKAGES[image][-1]}"]'
    assert last["COPY"].startswith(f"--from={image}-build ")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in runtime["LABEL"]


@images
@pytest.mark.skipif(
    not os.environ.get("LEADTIME_REPLAY_DOCKERFILE"),
    reason="set LEADTIME_REPLAY_DOCKERFILE=1 to run the build stages' steps in a folder (a minute; package index)",
)
def test_the_build_stages_steps_give_a_server_that_starts(image: str, tmp_path: Path) -> None:
    """`python` is this one's base; absolute paths of the image lie under tmp_path."""
    python = Path(sys._base_executable)  # type: ignore[attr-defined]
    work = tmp_path
    for name, rest in [*stage("build"), *stage(f"{image}-build")]:
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
    command = [str(tmp_path / "opt" / "bin" / "python"), "-P", "-m", PACKAGES[image][-1], "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    assert "--config" in done.stdout or "run" in done.stdout or "serve" in done.stdout
