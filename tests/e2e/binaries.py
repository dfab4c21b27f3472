"""Builds the programs of a test cluster from Go modules, once, into the user's cache folder.

`python tests/e2e/binaries.py [NAME ...]` builds them ahead of the tests and prints their paths.

A program is looked for in the folder LEADTIME_E2E_BIN, in KUBEBUILDER_ASSETS, and in the cache:
($XDG_CACHE_HOME or ~/.cache)/leadtime/NAME-VERSION-HASH/NAME. HASH covers the module's go.mod and go.sum and how it is
built, so a change of either builds anew. Modules are in modules/; go.mod holds the versions.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).with_name("modules")
GIVEN_FOLDERS = ("LEADTIME_E2E_BIN", "KUBEBUILDER_ASSETS")


class Unavailable(Exception):
    """This machine cannot provide a program: says which, why, and what to do about it. Tests are skipped with it."""


class BuildFailed(Exception):
    """Go is there and failed: quotes the end of what it said."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build a program. module: its folder in modules/. upstream: the required module, whose version it is."""

    module: str
    upstream: str
    package: str
    version_variable: str | None = None  # set by the linker, where the program knows its version only so

    def go_mod(self) -> Path:
        return MODULES / self.module / "go.mod"

    def version(self) -> str:
        """As go.mod requires it, for example "v1.36.3"."""
        found = re.search(rf"^require {re.escape(self.upstream)} (v\S+)$", self.go_mod().read_text(), re.MULTILINE)
        assert found, f"{self.go_mod()}: no line `require {self.upstream} VERSION`"
        return found[1]

    def flags(self) -> tuple[str, ...]:
        """For `go build`. Stripped (-s -w): half the size."""
        stamp = f" -X {self.version_variable}={self.version()}" if self.version_variable else ""
        return ("-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags=-s -w{stamp}")

    def cache_key(self) -> str:
        """VERSION-HASH."""
        parts = [self.go_mod().read_bytes(), self.go_mod().with_name("go.sum").read_bytes()]
        parts += [repr((self.package, self.flags(), platform.system(), platform.machine())).encode()]
        return f"{self.version()}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"


def _kubernetes(command: str) -> Recipe:
    package = f"k8s.io/kubernetes/cmd/{command}"
    return Recipe("kubernetes", "k8s.io/kubernetes", package, "k8s.io/component-base/version.gitVersion")


RECIPES: Mapping[str, Recipe] = {
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kubectl": _kubernetes("kubectl"),
    "etcd": Recipe("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    "kwok": Recipe("kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "prometheus-adapter": Recipe(
        "prometheus-adapter", "sigs.k8s.io/prometheus-adapter", "sigs.k8s.io/prometheus-adapter/cmd/adapter"
    ),
    "keda-operator": Recipe("keda", "github.com/kedacore/keda/v2", "github.com/kedacore/keda/v2/cmd/operator"),
    "keda-adapter": Recipe("keda", "github.com/kedacore/keda/v2", "github.com/kedacore/keda/v2/cmd/adapter"),
}


def binaries(*names: str) -> Mapping[str, Path]:
    """The paths of these programs, built where need be (minutes, told on stderr); without names, of all but prometheus.

    names: keys of RECIPES, or "prometheus" (a distribution's, from PATH).
    Raises Unavailable if this machine has neither the program nor Go, BuildFailed if Go cannot build it,
    NotADirectoryError if a given folder is none.
    """
    return {name: _installed(name) if name == "prometheus" else _provide(name) for name in names or RECIPES}


def _installed(name: str) -> Path:
    found = shutil.which(name)
    if not found:
        raise Unavailable(f"{name}: not in PATH; install the package {name} of your distribution")
    return Path(found)


def _provide(name: str) -> Path:
    recipe = RECIPES[name]
    built = cache_folder() / f"{name}-{recipe.cache_key()}" / name
    for candidate in (*_given(name), built):
        if os.access(candidate, os.X_OK):
            return candidate
    if not shutil.which("go"):
        raise Unavailable(f"{name}: Go is not in PATH to build it; install Go, or put it in a folder LEADTIME_E2E_BIN")
    built.parent.parent.mkdir(parents=True, exist_ok=True)
    with _locked(built.parent.with_name(f"{built.parent.name}.lock")):
        if not built.exists():  # another process may have built it while this one waited
            _build(name, recipe, built)
    return built


def cache_folder() -> Path:
    """Where built programs are kept: the user's cache folder (XDG Base Directory Specification) / leadtime."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leadtime"


def _given(name: str) -> Iterator[Path]:
    for variable in GIVEN_FOLDERS:
        if folder := os.environ.get(variable):
            if not Path(folder).is_dir():
                raise NotADirectoryError(f"{variable}: was {folder}, must be a folder that holds binaries; or unset it")
            yield Path(folder).resolve() / name


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell(f"waiting for another process that builds {path.stem}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(name: str, recipe: Recipe, built: Path) -> None:
    """Build into a folder beside the final one and rename it, so that what is there is whole."""
    _tell(f"building {name} {recipe.version()} from its Go module (once; minutes)")
    started = time.monotonic()
    # No cgo: no C compiler is needed, and upstream's releases are built so too.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    new = built.parent.with_name(f"{built.parent.name}.new")
    for leftover in (new, built.parent):  # of a build that was killed, or a cache that was half emptied
        shutil.rmtree(leftover, ignore_errors=True)
    command = ["go", "build", *recipe.flags(), "-o", str(new / name), recipe.package]
    go = subprocess.run(  # noqa: S603 (a fixed command)
        command, cwd=recipe.go_mod().parent, env=environment, stderr=subprocess.PIPE, text=True, check=False
    )
    if go.returncode:
        raise BuildFailed(f"{name}: `{' '.join(command)}` failed:\n{go.stderr[-2000:]}")
    new.rename(built.parent)
    _tell(f"{name}: {built.stat().st_size / 1e6:.0f} MB after {time.monotonic() - started:.0f} s")


def _tell(message: str) -> None:
    sys.stderr.write(f"e2e: {message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        for path in binaries(*sys.argv[1:]).values():
            sys.stdout.write(f"{path}\n")
    except (Unavailable, BuildFailed, NotADirectoryError) as failure:
        sys.exit(f"e2e: {failure}")
    except KeyError as unknown:
        sys.exit(f"e2e: unknown program {unknown}; one of {', '.join([*RECIPES, 'prometheus'])}")
