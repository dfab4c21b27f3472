"""A container without a container engine: its image, mounts, user and environment, in a mount namespace of its own.

The image is what its Dockerfile's last stage would hold: the system's libraries, this interpreter with its packages,
and the adapter's package alone, at the paths that they have here. All of it is read-only; the volumes are mounted
where the pod's manifest says.

As root, which CI is, the process gets the user and the groups of the pod's securityContext. Without root the mount
namespace belongs to a user namespace, which has nobody but the caller: then the process stays the caller.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from binaries import Unavailable
from kube_api import Object

import adapter

PACKAGE = Path(adapter.__file__).parent
DOCKERFILE = PACKAGE.parent / "Dockerfile"
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64")
_ETC = ("hosts", "ld.so.cache", "nsswitch.conf", "passwd", "ssl")
_TMPFS_BYTES = 64 * 1024 * 1024
_SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


@dataclass(frozen=True, slots=True)
class Mount:
    """What is mounted at a path of the container: a folder of this machine, or an empty one of so many bytes."""

    path: str
    folder: Path | None = None
    size_bytes: int = 0


def mounts_of(container: Object, pod: Object, folders: Mapping[str, Path]) -> Iterator[Mount]:
    """A container's volumeMounts. folders: the volumes that have a content, by name; an emptyDir is made anew."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    for mount in container.get("volumeMounts", ()):
        volume = volumes[mount["name"]]
        if "emptyDir" in volume:
            yield Mount(mount["mountPath"], size_bytes=_bytes(volume["emptyDir"].get("sizeLimit")))
        else:
            yield Mount(mount["mountPath"], folders[mount["name"]])


def command_line(
    container: Object, pod: Object, mounts: Sequence[Mount], environment: Mapping[str, str], root: Path
) -> list[str]:
    """What to start in place of the container. root: an empty folder, where its root file system is put together.

    environment: beside the image's and the manifest's own. Raises Unavailable where no mount namespace is to be had.
    """
    own = {one["name"]: one["value"] for one in container.get("env", ())}
    variables = {**image_environment(), **own, **environment}
    script = "\n".join([*_root_file_system(root, mounts), _start(container, pod, variables, root)])
    return [*_unshare(), "sh", "-euc", script]


def image_environment() -> dict[str, str]:
    """ENV of the Dockerfile's last stage, with this interpreter's PATH."""
    variables: dict[str, str] = {}
    for line in _last_stage():
        if line.startswith("ENV "):
            variables |= dict(word.split("=", 1) for word in shlex.split(line)[1:])
    return variables | {"PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin"}


def entry_point() -> list[str]:
    (line,) = (line for line in _last_stage() if line.startswith("ENTRYPOINT "))
    words: list[str] = json.loads(line.removeprefix("ENTRYPOINT "))
    return words


def _last_stage() -> list[str]:
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text()).splitlines()
    last = max(index for index, line in enumerate(lines) if line.startswith("FROM "))
    return lines[last:]


@cache
def _unshare() -> tuple[str, ...]:
    """Raises Unavailable."""
    missing = [name for name in ("unshare", "mount", "chroot", "setpriv") if not shutil.which(name)]
    if missing:
        raise Unavailable(f"no container: {', '.join(missing)} not in PATH; install util-linux and coreutils")
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = ("unshare", *user, "--mount", "--propagation", "private")
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)  # noqa: S603
    if tried.returncode:
        raise Unavailable(f"no container: `{' '.join(command)}` said {tried.stderr.strip()!r}; run as root")
    return command


def _root_file_system(root: Path, mounts: Sequence[Mount]) -> Iterator[str]:
    """Shell lines that mount it."""
    yield f"mount -t tmpfs -o mode=755,size={_TMPFS_BYTES} tmpfs {_quoted(root)}"
    for path in _SYSTEM:
        if Path(path).is_symlink():
            yield f"ln -s {_quoted(Path(path).readlink())} {_quoted(f'{root}{path}')}"
        elif Path(path).exists():
            yield from _bound(root, path, Path(path))
    for name in _ETC:
        if (Path("/etc") / name).exists():
            yield from _bound(root, f"/etc/{name}", Path("/etc") / name)
    for path in ("/proc", "/dev"):
        yield f"mkdir -p {_quoted(f'{root}{path}')}"
        yield f"mount --rbind {path} {_quoted(f'{root}{path}')}"
    for one in mounts:
        if one.folder is not None:
            yield from _bound(root, one.path, one.folder)
        else:
            at = _quoted(f"{root}{one.path}")
            yield f"mkdir -p {at}"
            yield f"mount -t tmpfs -o mode=777,size={one.size_bytes or _TMPFS_BYTES} tmpfs {at}"
    # After the volumes: a checkout under /tmp must not be hidden by the container's own /tmp.
    image = {Path(sys.base_prefix), Path(sys.prefix), PACKAGE}
    for folder in sorted(one for one in image if not one.is_relative_to("/usr")):
        yield from _bound(root, str(folder), folder)
    yield f"mount -o remount,bind,ro {_quoted(root)}"


def _bound(root: Path, path: str, source: Path) -> Iterator[str]:
    at = _quoted(f"{root}{path}")
    yield f"mkdir -p {at}" if source.is_dir() else f"mkdir -p $(dirname {at}); touch {at}"
    yield f"mount -o bind,ro {_quoted(source.resolve())} {at}"


def _start(container: Object, pod: Object, variables: Mapping[str, str], root: Path) -> str:
    """The line that becomes the container's process: no shell stays in between, so signals are its own."""
    arguments = container.get("command", entry_point()) + container.get("args", [])
    rights = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
    if os.geteuid() == 0:
        group = security.get("fsGroup", security["runAsGroup"])
        rights += [f"--reuid={security['runAsUser']}", f"--regid={security['runAsGroup']}", f"--groups={group}"]
    words = ["chroot", str(root), *rights, "env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    return f"cd / && exec {shlex.join([*words, *arguments])}"


def _bytes(quantity: str | None) -> int:
    """Of a quantity such as "16Mi"."""
    if quantity is None:
        return 0
    number, suffix = quantity[:-2], quantity[-2:]
    return int(number) * _SUFFIXES[suffix]


def _quoted(word: object) -> str:
    return shlex.quote(str(word))
