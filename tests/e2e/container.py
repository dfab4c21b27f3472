"""A container without a container engine: its image, mounts, user and environment, in a mount namespace of its own.

The image is what its stage of the Dockerfile would hold: the system's libraries, this interpreter with its packages,
and those of the project's own that the stage copies, at the paths that they have here. All of it is read-only; the
volumes are mounted where the pod's manifest says.

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

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
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
    writable: bool = False


def mounts_of(container: Object, pod: Object, folders: Mapping[str, Path]) -> Iterator[Mount]:
    """A container's volumeMounts. folders: of volumes, by name; an emptyDir without one is made anew, in memory."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    for mount in container.get("volumeMounts", ()):
        volume = volumes[mount["name"]]
        if "emptyDir" in volume and mount["name"] not in folders:
            yield Mount(mount["mountPath"], size_bytes=_bytes(volume["emptyDir"].get("sizeLimit")))
        else:
            yield Mount(mount["mountPath"], folders[mount["name"]], writable="emptyDir" in volume)


def command_line(
    container: Object, pod: Object, mounts: Sequence[Mount], environment: Mapping[str, str], root: Path
) -> list[str]:
    """What to start in place of the container. root: an empty folder, where its root file system is put together.

    environment: beside the image's and the manifest's own. Raises Unavailable where no mount namespace is to be had.
    """
    image = Image.of(container)
    own = {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}
    variables = {**image.environment(), **own, **environment}
    script = "\n".join(
        [*_root_file_system(root, mounts, image.packages()), _start(container, pod, image, variables, root)]
    )
    return [*_unshare(), "sh", "-euc", script]


@dataclass(frozen=True, slots=True)
class Image:
    """A stage of the Dockerfile that is an image."""

    stage: str

    @classmethod
    def of(cls, container: Object) -> "Image":
        """leadtime-adapter:0.1.0 is the stage adapter."""
        return cls(container["image"].rpartition("/")[2].partition(":")[0].removeprefix("leadtime-"))

    def environment(self) -> dict[str, str]:
        """Its ENV and that of the stages below, with this interpreter's PATH."""
        variables: dict[str, str] = {}
        for line in self._lines():
            if line.startswith("ENV "):
                variables |= dict(word.split("=", 1) for word in shlex.split(line)[1:])
        return variables | {"PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin"}

    def entry_point(self) -> list[str]:
        (line,) = (line for line in self._lines() if line.startswith("ENTRYPOINT "))
        words: list[str] = json.loads(line.removeprefix("ENTRYPOINT "))
        return words

    def packages(self) -> list[Path]:
        """The project's own."""
        (copied,) = (line for line in self._lines() if line.startswith("COPY --from="))
        built = Image(copied.removeprefix("COPY --from=").split()[0])
        folders = [ROOT / line.split()[1] for line in built._lines() if line.startswith("COPY ")]
        return [folder for folder in folders if folder.is_dir()]

    def _lines(self) -> list[str]:
        """Of the stage and of those that it stands on, the lowest first."""
        text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
        head, _, rest = next(
            one.partition("\n") for one in re.split(r"^FROM ", text, flags=re.M) if _named(one) == self.stage
        )
        below = head.split()[0]
        return (Image(below)._lines() if not below.startswith("$") else []) + rest.splitlines()


def _named(stage: str) -> str:
    return stage.partition("\n")[0].rpartition(" AS ")[2]


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


def _root_file_system(root: Path, mounts: Sequence[Mount], packages: Sequence[Path]) -> Iterator[str]:
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
            yield from _bound(root, one.path, one.folder, "rw" if one.writable else "ro")
        else:
            at = _quoted(f"{root}{one.path}")
            yield f"mkdir -p {at}"
            yield f"mount -t tmpfs -o mode=777,size={one.size_bytes or _TMPFS_BYTES} tmpfs {at}"
    # After the volumes: a checkout under /tmp must not be hidden by the container's own /tmp.
    held = {Path(sys.base_prefix), Path(sys.prefix), *packages}
    for folder in sorted(one for one in held if not one.is_relative_to("/usr")):
        yield from _bound(root, str(folder), folder)
    yield f"mount -o remount,bind,ro {_quoted(root)}"


def _bound(root: Path, path: str, source: Path, access: str = "ro") -> Iterator[str]:
    at = _quoted(f"{root}{path}")
    yield f"mkdir -p {at}" if source.is_dir() else f"mkdir -p $(dirname {at}); touch {at}"
    yield f"mount -o bind,{access} {_quoted(source.resolve())} {at}"


def _start(container: Object, pod: Object, image: Image, variables: Mapping[str, str], root: Path) -> str:
    """The line that becomes the container's process: no shell stays in between, so signals are its own."""
    arguments = container.get("command", image.entry_point()) + container.get("args", [])
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
