"""The adapter's manifests as kustomize builds them."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import yaml
from binaries import Unavailable
from kube_api import Object


def built(folder: Path) -> list[Object]:
    """What kustomize makes of a folder. Raises Unavailable where there is none."""
    if kustomize := shutil.which("kustomize"):
        command = [kustomize, "build"]
    elif kubectl := shutil.which("kubectl"):
        command = [kubectl, "kustomize"]
    else:
        raise Unavailable("neither kustomize nor kubectl is in PATH, so no manifest can be built; install one")
    done = subprocess.run(  # noqa: S603 - a fixed command on our own folder
        [*command, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def one(objects: Iterable[Object], kind: str, name: str | None = None) -> Object:
    """The only object of that kind, and of that name if one is given."""
    (found,) = (item for item in objects if item["kind"] == kind and name in (None, item["metadata"]["name"]))
    return found
