"""kubectl, of the control plane's own version (binaries.py): what a person sees who types it."""

import json
import os
import re
import subprocess
from pathlib import Path

from binaries import binaries
from kube_api import Object

TIMEOUT_SECONDS = 60.0


def kubectl(
    *arguments: str | Path, kubeconfig: Path | None = None, given: Object | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever that is: returncode, stdout, stderr.

    kubeconfig: such as ControlPlane.admin; what it caches goes beside that file. Without one it does what needs no
    cluster, such as `kustomize`. given: an object, at its standard input. No file of the person's who runs it is read.
    Raises Unavailable, BuildFailed (binaries.py), TimeoutExpired after TIMEOUT_SECONDS.
    """
    home = kubeconfig.parent if kubeconfig else Path(os.devnull)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "KUBERC": "off"}
    return subprocess.run(  # noqa: S603 (our own program)
        [str(word) for word in (binaries("kubectl")["kubectl"], *arguments)],
        env=environment | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}),
        input="" if given is None else json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


def shown(kubeconfig: Path, *arguments: str | Path) -> str:
    """What it prints where it has nothing to complain of: neither an error nor a warning."""
    done = kubectl(*arguments, kubeconfig=kubeconfig)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def columns(table: str) -> list[dict[str, str]]:
    """The rows that `kubectl get` printed, by the heads of their columns."""
    if not table:
        return []
    head, *rows = table.splitlines()
    starts = [(found.group(), found.start()) for found in re.finditer(r"\S+", head)]
    ends = [start for _, start in starts[1:]] + [None]
    return [{name: row[start:end].strip() for (name, start), end in zip(starts, ends, strict=True)} for row in rows]
