"""Everything that the checks look at, read from files: what can be known before anything is applied."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from autoscaler.crd.custom_resource import GROUP, KIND
from autoscaler.observe.hpa_seen import TargetName, target_name
from leadtime.doctor.gathered import Gathered, Json
from leadtime.init.sources import manifest_objects
from policies.errors import BadInput

_SUFFIXES = (".yaml", ".yml", ".json")


def gather_manifests(paths: Sequence[Path]) -> Gathered:
    """Files, and all YAML and JSON files below folders. What kustomize or Helm would make of them is not known here:
    give their output. Raises BadInput."""
    objects = _in_namespaces([each for path in _files(paths) for each in manifest_objects(path)])
    if not any(each.get("kind") == KIND for each in objects):
        raise BadInput(
            f"--manifests: {', '.join(map(str, paths))} held no {KIND}, must hold one or more; leadtime init writes one"
        )
    classes = frozenset(_name(each) for each in objects if each.get("kind") == "PriorityClass")
    return Gathered(
        source="manifests",
        autoscalers=_of_kind(objects, KIND, GROUP),
        hpas=_of_kind(objects, "HorizontalPodAutoscaler", "autoscaling"),
        scaled_objects=_of_kind(objects, "ScaledObject", "keda.sh"),
        workloads={target: each for each in objects if (target := _target(each)) is not None},
        quotas=_of_kind(objects, "ResourceQuota", ""),
        priority_classes=classes or None,
        crd=next((each for each in objects if _is_our_crd(each)), None),
    )


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
        else:
            yield path


def _in_namespaces(objects: Sequence[Json]) -> list[dict[str, Any]]:
    """Where a file leaves the namespace to kubectl: the one that the others name, or `default`."""
    stated = {str(named) for each in objects if (named := (each.get("metadata") or {}).get("namespace"))}
    namespace = stated.pop() if len(stated) == 1 else "default"
    return [{**each, "metadata": {"namespace": namespace, **(each.get("metadata") or {})}} for each in objects]


def _of_kind(objects: Iterable[Json], kind: str, group: str) -> tuple[Json, ...]:
    return tuple(each for each in objects if each.get("kind") == kind and _group(each) == group)


def _group(each: Json) -> str:
    group, slash, _ = str(each.get("apiVersion") or "").partition("/")
    return group if slash else ""


def _target(each: Json) -> TargetName | None:
    """Anything with pods may be a scale target."""
    spec = each.get("spec")
    if not isinstance(spec, dict) or not ({"template", "leaderWorkerTemplate"} & set(spec)):
        return None
    reference = {"apiVersion": each.get("apiVersion"), "kind": str(each.get("kind")), "name": _name(each)}
    return target_name(each["metadata"]["namespace"], reference)


def _is_our_crd(each: Json) -> bool:
    return each.get("kind") == "CustomResourceDefinition" and (each.get("spec") or {}).get("group") == GROUP


def _name(each: Json) -> str:
    return str((each.get("metadata") or {}).get("name", ""))
