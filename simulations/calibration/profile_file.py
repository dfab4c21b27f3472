"""A latency profile as a YAML file: what `leadtime fit` writes and `--profile FILE` reads."""

import difflib
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.capacity.gpus import GPUS, gpu_of
from policies.capacity.models import MODELS, model_of
from policies.capacity.profile import PROFILES, Profile, physical_profile, profile_named
from policies.errors import BadInput

_Seconds = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=100_000_000)]


class ProfileDocument(BaseModel):
    """The file's keys. A key that is left out is filled by the formula, when model and gpu are known ones.

    model, gpu: as `leadtime policies` and the profile table spell them, or any other name with every key given.
    *_seconds: seconds, 0 to 10, base above 0. The rest: counts of 1 or more.
    """

    model_config = ConfigDict(extra="forbid", strict=False)

    name: str | None = None
    model: str
    gpu: str
    tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    base_seconds: _Positive | None = None
    per_prefill_token_seconds: _Seconds | None = None
    per_decode_seq_seconds: _Seconds | None = None
    per_kv_token_seconds: _Seconds | None = None
    per_prefill_context_token_seconds: _Seconds | None = None
    request_overhead_seconds: _Seconds | None = None
    kv_blocks: _Count | None = None
    kv_bytes_per_token: _Count | None = None
    max_num_seqs: _Count | None = None
    max_num_batched_tokens: _Count | None = None
    source: str | None = None
    validation: str | None = None


def read_profile(text_or_path: str | Path) -> Profile:
    """The profile of a name (`profile_named`) or of a YAML file; BadInput says what is wrong and what is near."""
    text = str(text_or_path)
    path = Path(text)
    if text not in PROFILES and (path.suffix in {".yaml", ".yml"} or path.is_file()):
        return _read_file(path)
    return profile_named(text)


def profile_yaml(profile: Profile) -> str:
    """The file's text; `read_profile` reads back an equal profile."""
    text: str = yaml.safe_dump(asdict(profile), sort_keys=False, width=110)
    return text


def _read_file(path: Path) -> Profile:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"--profile: {path} cannot be read ({error.strerror}); give a file that exists") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"--profile: {path} is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(document, dict):
        raise BadInput(f"--profile: {path}: was {type(document).__name__}, must be a mapping with model and gpu")
    return _checked(path, document)


def _checked(path: Path, document: dict[Any, Any]) -> Profile:
    for key in document:
        if key not in ProfileDocument.model_fields:
            near = difflib.get_close_matches(str(key), ProfileDocument.model_fields, n=1, cutoff=0.0)[0]
            raise BadInput(f"{path}: unknown key {key!r}; the nearest valid one is {near!r}")
    try:
        given = ProfileDocument.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        was = "missing" if first["type"] == "missing" else f"{first['input']!r}"
        raise BadInput(f"{path}: {where}: was {was}; {first['msg'][0].lower() + first['msg'][1:]}") from None
    values = {key: value for key, value in given.model_dump().items() if value is not None}
    model, gpu = model_of(given.model), gpu_of(given.gpu)
    names = {field.name for field in fields(Profile)}
    missing = sorted(names - values.keys() - {"name", "source", "validation"})
    stem = {"name": path.stem, "source": f"{path.name}", "validation": "not validated"}
    if not missing:
        return Profile(**(stem | values))
    if model is None or gpu is None:
        unknown = f"model {given.model!r}" if model is None else f"gpu {given.gpu!r}"
        known = MODELS if model is None else GPUS
        raise BadInput(
            f"{path}: {missing[0]}: is missing, and {unknown} is not one of {', '.join(known)}, "
            "from which it could be computed; give every key, or a known model and gpu"
        )
    try:
        computed = physical_profile(model, gpu, given.tensor_parallel_size)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    return replace(computed, **values)
