"""An operator's overlay on the adapter's manifests: other settings in adapter.yaml, rules of their own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from adapter_manifests import written

NAMESPACE = "leadtime-system"


def overlay(
    base: Path,
    folder: Path,
    *,
    rules: str,
    settings: Path | None = None,
    change: Callable[[Any], None] = lambda _: None,
) -> Path:
    """A kustomization on `base`, written into `folder`, as its comments tell operators to make one.

    rules: a file of metric rules. settings: the base's adapter.yaml, where `change` edits it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own-rules.yaml").write_text(rules)
    maps = [{"name": "leadtime-adapter-rules", "behavior": "merge", "files": ["own-rules.yaml"]}]
    if settings:
        content = yaml.safe_load(settings.read_text())
        change(content)
        (folder / "adapter.yaml").write_text(yaml.safe_dump(content))
        maps.append({"name": "leadtime-adapter", "behavior": "replace", "files": ["adapter.yaml"]})
    generators = [{"namespace": NAMESPACE, **one} for one in maps]
    resources = [os.path.relpath(base.resolve(), folder.resolve())]  # kustomize takes no absolute paths
    return written({"resources": resources, "configMapGenerator": generators}, folder)
