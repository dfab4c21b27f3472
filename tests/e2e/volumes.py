"""The folders that a kubelet mounts into a pod: ConfigMaps and the ServiceAccount's token, in its own layout."""

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path

_versions = itertools.count(1)


def write_atomically(folder: Path, files: Mapping[str, str]) -> None:
    """Make the folder hold exactly these files, from one instant to the next.

    As the kubelet's AtomicWriter does it (kubernetes pkg/volume/util/atomic_writer.go): the files lie in a hidden
    folder, `..data` is a link to it that is swapped by a rename, and each name is a link into `..data`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"..version_{next(_versions)}"
    new.mkdir()
    for name, content in files.items():
        (new / name).write_text(content)
    data = folder / "..data"
    old = data.resolve() if data.is_symlink() else None
    link = folder / "..data_tmp"
    link.symlink_to(new.name)
    link.rename(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in files:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old)
