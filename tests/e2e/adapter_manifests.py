"""The adapter's manifests as `kubectl apply -k` takes them: what kustomize makes of their folder or an overlay."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from kube_api import Object
from kubectl import kubectl

BASE = Path(__file__).parents[2] / "manifests" / "adapter" / "base"


def built(folder: Path) -> list[Object]:
    """What kustomize (the one in kubectl) makes of a folder. Raises Unavailable where kubectl is not to be had."""
    done = kubectl("kustomize", folder)
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def one(objects: Iterable[Object], kind: str, name: str | None = None) -> Object:
    """The only object of that kind, and of that name if one is given."""
    (found,) = (item for item in objects if item["kind"] == kind and name in (None, item["metadata"]["name"]))
    return found


def without_pod_network(base: Path, folder: Path, port: int) -> Path:
    """An overlay on `base`, written into `folder`: its Service and APIServices lead to this port of the loopback."""
    loopback = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    patches = [_replacing("Service", "/spec", loopback), _replacing("APIService", "/spec/service/port", port)]
    # kustomize takes a folder outside its own by a relative path only.
    return written({"resources": [os.path.relpath(base.resolve(), folder.resolve())], "patches": patches}, folder)


def as_base(objects: Iterable[Object], folder: Path) -> Path:
    """A kustomization of these objects, written into `folder`: what a test has made of the manifests."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    return written({"resources": ["objects.yaml"]}, folder)


def written(kustomization: Object, folder: Path) -> Path:
    """The folder, which is made, with this kustomization.yaml in it."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(head | kustomization, sort_keys=False))
    return folder


def _replacing(kind: str, path: str, value: Any) -> Object:
    """A patch (JSON Patch, RFC 6902) of every object of a kind."""
    return {"target": {"kind": kind}, "patch": yaml.safe_dump([{"op": "replace", "path": path, "value": value}])}
