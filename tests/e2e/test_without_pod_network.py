"""What the tests install is the project's manifests: the overlay on them says only where the adapter listens."""

from pathlib import Path

import pytest
from adapter_manifests import BASE, as_base, built, one, without_pod_network
from kube_api import Object

pytestmark = pytest.mark.e2e

OVERLAYS = sorted(path.parent for path in (BASE.parent / "overlays").glob("*/kustomization.yaml"))
PORT = 20443


@pytest.mark.parametrize("base", [BASE, *OVERLAYS], ids=lambda folder: folder.name)
def test_nothing_differs_but_where_the_service_and_the_api_services_lead(base: Path, tmp_path: Path) -> None:
    """On the base, and on every overlay that it may be put on."""
    before, after = built(base), built(without_pod_network(base, tmp_path, PORT))
    assert [key(item) for item in after] == [key(item) for item in before]
    changed = {key(now): differences(was, now) for was, now in zip(before, after, strict=True) if was != now}
    leads_here = {("spec", "type"), ("spec", "externalName"), ("spec", "ports"), ("spec", "selector")}
    assert changed == {
        ("Service", "leadtime-adapter"): leads_here,
        **{key(item): {("spec", "service", "port")} for item in before if item["kind"] == "APIService"},
    }
    assert len(changed) == 4
    assert one(after, "Service")["spec"] == {
        "type": "ExternalName",
        "externalName": "localhost",
        "ports": [{"port": PORT}],
    }


def test_objects_that_a_test_has_changed_are_built_as_they_are(tmp_path: Path) -> None:
    objects = [item for item in built(BASE) if item["kind"] != "NetworkPolicy"]
    assert built(as_base(objects, tmp_path / "changed")) == objects


def key(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


def differences(was: Object, now: Object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Where two objects differ: the path of each field that one lacks or that has another value."""
    found: set[tuple[str, ...]] = set()
    for name in was.keys() | now.keys():
        left, right = was.get(name), now.get(name)
        if isinstance(left, dict) and isinstance(right, dict):
            found |= differences(left, right, (*path, name))
        elif left != right:
            found.add((*path, name))
    return found
