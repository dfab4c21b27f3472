"""What the tests of manifests share: files as people edit them, and what kustomize makes of them.

The modules beside them are found as well, and those of the controller's tests, which pytest's importlib mode does not
see to by itself.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "autoscaler")]

MANIFESTS = Path(__file__).parents[3] / "manifests"
Objects = list[dict[str, Any]]


@pytest.fixture(scope="session")
def base() -> Objects:
    """Every object of the adapter's base, as its files spell it, without kustomize."""
    return _listed(MANIFESTS / "adapter" / "base")


@pytest.fixture(scope="session")
def controller_base() -> Objects:
    """The same of the controller's."""
    return _listed(MANIFESTS / "controller" / "base")


@pytest.fixture(scope="session")
def one() -> Callable[..., dict[str, Any]]:
    """one(objects, kind, name=None): the only object of that kind, and of that name if one is given."""

    def find(objects: Objects, kind: str, name: str | None = None) -> dict[str, Any]:
        found = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} objects {kind} {name or ''}"
        return found[0]

    return find


@pytest.fixture(scope="session")
def kustomize() -> Callable[[Path], Objects]:
    """kustomize(folder): the objects that it builds; skips where there is no kustomize."""
    command = _kustomize_command()
    if command is None:
        pytest.skip("neither kustomize nor kubectl is on the PATH, so no overlay can be built")
    built: dict[Path, Objects] = {}

    def build(folder: Path) -> Objects:
        if folder not in built:
            done = subprocess.run(  # noqa: S603 - a fixed command on our own folder
                [*command, str(folder)], capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
            built[folder] = [each for each in yaml.safe_load_all(done.stdout) if each]
        return built[folder]

    return build


def _listed(folder: Path) -> Objects:
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [each for name in listed for each in yaml.safe_load_all((folder / name).read_text())]


def _kustomize_command() -> Sequence[str] | None:
    if path := shutil.which("kustomize"):
        return (path, "build")
    if path := shutil.which("kubectl"):
        return (path, "kustomize")
    return None
