"""Which latency profile a workload's pods are, as far as their manifest and their nodes tell. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leadtime.pod_template import gpus_of, node_labels, serving_container
from policies.capacity.gpus import Gpu, gpu_of
from policies.capacity.models import model_of
from policies.capacity.profile import PROFILES, profile_name, profile_named
from policies.errors import BadInput

Json = Mapping[str, Any]

_MODEL_FLAGS = ("--model", "--model-path", "--model-id", "--model-name", "-m")
_RANK_FLAGS = ("--tensor-parallel-size", "-tp", "--tp", "--tp-size", "--num-shard")
_MODEL_VARIABLES = ("MODEL_ID", "HF_MODEL_ID", "MODEL_NAME", "MODEL", "MODEL_PATH", "NIM_MODEL_NAME")
_GPU_LABELS = (
    "nvidia.com/gpu.product",  # GPU feature discovery
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "k8s.amazonaws.com/accelerator",
    "accelerator",
)
_GKE_A100_40GB = "nvidia-tesla-a100"  # GKE's own name for it; the one of 80 GB is nvidia-a100-80gb


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileGuess:
    """name: None where it could not be told. why: what it was taken from, or what is missing. gpus: of one pod."""

    name: str | None
    why: str
    gpus: int


def guess_profile(spec: Json | None, labels_of_node: Mapping[str, str] | None = None) -> ProfileGuess:
    """spec: of the pods. labels_of_node: of a node that one of them runs on, where that is known."""
    container = None if spec is None else serving_container(spec)
    if spec is None or container is None:
        return ProfileGuess(name=None, why="no container with a GPU or of a known server was seen", gpus=1)
    gpus = gpus_of(container)
    words = list(_words(container))
    model, model_from = _model(container, words)
    gpu, gpu_from = _gpu({**node_labels(spec), **(labels_of_node or {})})
    ranks = _ranks(words) or max(1, gpus)
    if model is None or gpu is None:
        missing = " and ".join(text for text, found in ((model_from, model), (gpu_from, gpu)) if found is None)
        return ProfileGuess(name=None, why=missing, gpus=max(1, gpus))
    name = _profile(model, gpu, ranks)
    why = f"{model_from}, {gpu_from}, {ranks} GPU{'s' if ranks > 1 else ''}"
    if name is None:
        return ProfileGuess(name=None, why=f"no profile of {why}", gpus=max(1, gpus))
    return ProfileGuess(name=name, why=why, gpus=max(1, gpus))


def _profile(model: str, gpu: Gpu, ranks: int) -> str | None:
    for profile in PROFILES.values():
        if (profile.model.casefold(), profile.gpu, profile.tensor_parallel_size) == (
            model.casefold(),
            gpu.name,
            ranks,
        ):
            return profile.name
    known = model_of(model)
    if known is None:
        return None
    try:
        return profile_named(profile_name(known.name, gpu.short_name, ranks)).name
    except BadInput:  # it does not fit
        return None


def _words(container: Json) -> Iterator[str]:
    """Command and arguments word by word, those of a shell's line too, with variables put in."""
    variables = {
        str(each.get("name")): str(each["value"])
        for each in container.get("env") or ()
        if each.get("value") is not None
    }
    for part in (*(container.get("command") or ()), *(container.get("args") or ())):
        text = re.sub(r"\$[({]?(\w+)[)}]?", lambda found: variables.get(found[1], found[0]), str(part))
        try:
            yield from shlex.split(text, comments=True) if any(map(str.isspace, text)) else [text]
        except ValueError:  # an open quote: no shell line
            yield text


def _variables(container: Json) -> dict[str, str]:
    """Those whose value stands in the manifest."""
    listed = container.get("env") or ()
    return {str(each.get("name")): str(each["value"]) for each in listed if each.get("value") is not None}


def _flag(words: Sequence[str], names: Sequence[str]) -> str | None:
    for place, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if name in names:
            following = words[place + 1] if place + 1 < len(words) else ""
            return (value if has_value else following) or None
    return None


def _model(container: Json, words: Sequence[str]) -> tuple[str | None, str]:
    """(model, where it stands), or (None, what is missing)."""
    if (model := _flag(words, _MODEL_FLAGS)) is not None:
        return model, f"--model {model}"
    for place, word in enumerate(words[:-1]):
        if word == "serve" and not words[place + 1].startswith("-"):
            return words[place + 1], f"vllm serve {words[place + 1]}"
    variables = _variables(container)
    for name in _MODEL_VARIABLES:
        if variables.get(name):
            return variables[name], f"{name}={variables[name]}"
    return None, f"no model is named in the arguments of container {container.get('name')}"


def _gpu(labels: Mapping[str, str]) -> tuple[Gpu | None, str]:
    for label in _GPU_LABELS:
        if label not in labels:
            continue
        value = labels[label]
        found = None if value == _GKE_A100_40GB else gpu_of(value)
        return found, f"{label}={value}" if found else f"{label}={value} is a GPU without a profile"
    return None, "no node label names the GPU"


def _ranks(words: Sequence[str]) -> int | None:
    text = _flag(words, _RANK_FLAGS) or ""
    return int(text) if text.isascii() and text.isdecimal() and int(text) > 0 else None
