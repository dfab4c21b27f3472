"""Which pages to scrape, and whose they are: a JSON file in the shape of Prometheus' file_sd.

[{"targets": ["10.0.0.7:8000"],
  "labels": {"namespace": "llm", "pod": "vllm-0", "app": "vllm", "__metrics_path__": "/metrics"}},
 {"targets": ["10.0.0.3:9400"],
  "labels": {"namespace": "gpu", "pod": "dcgm-x", "role": "exporter"}}]

role "pod" (the default): the page's series belong to that pod, and every other label is the pod's own
(what a labelSelector sees). A pod may have several pages, or none (`"targets": []`: known, so that an
exporter's series about it are shown). role "exporter": series belong to the pods they name.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from adapter.sources.pods import PodInfo, Pods
from adapter.sources.series import PodKey

_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")  # a name, IPv4 or [IPv6]
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class BadTargets(ValueError):
    """A targets file that cannot be used: names the field, the value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One page. owner: the pod that serves it; None for an exporter whose own pod is not given."""

    url: str
    role: Literal["pod", "exporter"]
    owner: PodKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSet:
    """All pages, and every pod that is known to exist."""

    targets: tuple[Target, ...] = ()
    pods: Pods


class TargetsFile:
    """The file, read anew at each collection.

    fault: why the file cannot be used now, so that the last good set is still in use; None when it is fine.
    """

    def __init__(self, path: Path) -> None:
        self.fault: str | None = None
        self._path = path
        self._text: str | None = None
        self._good: TargetSet | None = None

    def read(self) -> TargetSet:
        """The file's targets, or the last good ones. Raises BadTargets if there were never good ones."""
        try:
            text = _read(self._path)
            if self._good is None or text != self._text:
                self._good = parse_targets(text)
                self._text = text
            self.fault = None
        except BadTargets as error:
            self.fault = f"{self._path}: {error}"
            if self._good is None:
                raise BadTargets(self.fault) from error
        return self._good


def parse_targets(text: str) -> TargetSet:
    """The targets in the file's text. Raises BadTargets."""
    try:
        groups = _GROUPS.validate_python(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise BadTargets(f"{field or 'file'}: was {first['input']!r}, {message}; correct the file") from error
    except ValueError as error:
        raise BadTargets(f"file: was not JSON ({error}), must be a list of target groups") from error
    targets: dict[Target, None] = {}
    pods: dict[PodKey, PodInfo] = {}
    for index, group in enumerate(groups):
        owner = group.owner(f"[{index}].labels")
        pod = PodInfo(labels=group.pod_labels())
        if owner is not None and group.role() == "pod" and pods.setdefault(owner, pod) != pod:
            raise BadTargets(
                f"[{index}].labels: was {pod.labels}, must equal the other group's of pod {owner.name}: "
                f"{pods[owner].labels}; give a pod's labels once"
            )
        for address in group.targets:
            target = Target(url=f"http://{address}{group.path()}", role=group.role(), owner=owner)
            if target in targets:
                raise BadTargets(f"[{index}].targets: was {address!r} twice, must be once; remove one")
            targets[target] = None
    return TargetSet(targets=tuple(targets), pods=pods)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadTargets(f"was not readable ({error}), must be a readable UTF-8 file") from error


def _address(value: str) -> str:
    parts = _ADDRESS.fullmatch(value)
    if parts is None or not 1 <= int(parts[1]) <= 65535:
        raise ValueError("must be host:port")
    return value


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if labels.get("role", "pod") not in ("pod", "exporter"):
        raise ValueError("role must be pod or exporter")
    if not labels.get("__metrics_path__", "/metrics").startswith("/"):
        raise ValueError("__metrics_path__ must start with /")
    for key in labels:
        if key.startswith("__") and key != "__metrics_path__":
            raise ValueError(f"{key} is not known, the one label with leading underscores is __metrics_path__")
    return labels


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    targets: list[Annotated[str, AfterValidator(_address)]]
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = {}

    def role(self) -> Literal["pod", "exporter"]:
        return "exporter" if self.labels.get("role") == "exporter" else "pod"

    def path(self) -> str:
        return self.labels.get("__metrics_path__", "/metrics")

    def owner(self, field: str) -> PodKey | None:
        """The pod that serves these pages; an exporter may leave its own out."""
        if self.role() == "exporter" and not {"namespace", "pod"} <= self.labels.keys():
            return None
        for key in ("namespace", "pod"):
            value = self.labels.get(key, "")
            if not _DNS_NAME.fullmatch(value):
                raise BadTargets(
                    f"{field}.{key}: was {value!r}, must be a Kubernetes name (a-z, 0-9, - and .); correct it"
                )
        return PodKey(self.labels["namespace"], self.labels["pod"])

    def pod_labels(self) -> dict[str, str]:
        apart = ("namespace", "pod", "role", "__metrics_path__")
        return {key: value for key, value in self.labels.items() if key not in apart}


_GROUPS = TypeAdapter(list[_Group])
