"""The `server` section of a scenario: which server answers in each replica, and how it is started.

One section with the fields of every kind, each spelled as the server's own configuration has it, so that a flag or a
sweep sets one as any other; a field of another kind is refused.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from leadtime.scenario_section import Section
from policies.errors import BadInput
from simulations.batching import BatchProfile, FixedBatch, TorchServe, Triton
from simulations.batching.batch_profile import fitted_profile
from simulations.batching.checks import MOST
from simulations.batching.measured import BATCH_PROFILES
from simulations.server_kind import BatchedModel, ServerKind, title

_HOUR_MICROSECONDS = 3_600_000_000
_HOUR_MILLISECONDS = 3_600_000


class ServerSection(Section):
    """Which server answers in each replica, and how it is started."""

    kind: Literal["vllm", "nim", "triton", "torchserve", "fixed-batch"] = "vllm"
    """vLLM, NVIDIA NIM for LLMs 1.x, or a server that answers in batches, see servers.md"""
    prefix_caching: bool = False
    """keep KV blocks of finished requests and reuse them for equal prefixes"""
    max_loras: int = Field(default=0, ge=0, le=10_000)
    """adapters in one batch; 0 serves the base model alone"""
    lora_load_seconds: float = Field(default=0.3, ge=0, le=3_600)
    """to bring an adapter to the GPU; 0.3 is a few hundred MB from the host's memory"""
    priority_scheduling: bool = False
    """vLLM's --scheduling-policy priority instead of first come, first served"""
    max_num_seqs: int | None = Field(default=None, ge=1, le=100_000)
    """requests in one batch; null: the profile's, which is vLLM's default for that GPU"""
    max_num_batched_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """token budget of one iteration; null: the profile's"""
    batch_profile: str | None = Field(default=None, min_length=1)
    """triton, torchserve, fixed-batch: how long batches take, a built-in profile's name, unless measured says it"""
    measured: list[list[float]] | None = Field(default=None, min_length=1)
    """in its place: [[batch size, seconds of one batch], ...], two sizes or more; a line is fitted to them"""
    max_batch_size: int | None = Field(default=None, ge=1, le=MOST)
    """triton: requests in one batch; null: 8"""
    dynamic_batching: bool | None = None
    """triton: false runs each request by itself; null: true"""
    preferred_batch_size: list[int] | None = Field(default=None, min_length=1)
    """triton: sizes that are sent at once, each at most max_batch_size; null: that alone"""
    max_queue_delay_microseconds: int | None = Field(default=None, ge=0, le=_HOUR_MICROSECONDS)
    """triton: how long a request may wait for a batch to fill; null: 0"""
    instance_group_count: int | None = Field(default=None, ge=1, le=MOST)
    """triton: batches at once, all on one GPU; null: 1"""
    max_queue_size: int | None = Field(default=None, ge=0, le=MOST)
    """triton: requests that may wait, one more is refused; 0 or null: no limit"""
    default_timeout_microseconds: int | None = Field(default=None, ge=0, le=_HOUR_MICROSECONDS)
    """triton: a request that has waited longer is refused; 0 or null: none is"""
    batch_size: int | None = Field(default=None, ge=1, le=MOST)
    """torchserve, fixed-batch: requests in one batch; null: 1 for torchserve, fixed-batch needs it"""
    max_batch_delay: int | None = Field(default=None, ge=0, le=_HOUR_MILLISECONDS)
    """torchserve: milliseconds that a worker waits for its batch to fill; null: 100"""
    job_queue_size: int | None = Field(default=None, ge=1, le=MOST)
    """torchserve: requests that may wait, one more is answered 503; null: 100"""
    workers: int | None = Field(default=None, ge=1, le=MOST)
    """torchserve: batches at once, all on one GPU; null: 1"""
    max_wait_seconds: float | None = Field(default=None, ge=0, le=3_600)
    """fixed-batch: how long the first of a batch waits for it to fill; null: 0, what is there begins"""
    instances: int | None = Field(default=None, ge=1, le=MOST)
    """fixed-batch: batches at once, all on one GPU; null: 1"""
    pads: bool | None = None
    """fixed-batch: every batch takes as long as a full one, as on an engine of one static shape; null: false"""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        for name, info in type(self).model_fields.items():
            owners = [kind for kind, fields in _FIELDS.items() if name in fields]
            value = getattr(self, name)
            if name != "kind" and self.kind not in owners and value != info.default:
                raise BadInput(
                    f"{name}: was {value}, must be left out for kind {self.kind}, which does not have it; remove it or "
                    f"set kind: {' or '.join(owners)}"
                )
        server_of(self)
        return self


_VLLM = frozenset(
    {
        "prefix_caching",
        "max_loras",
        "lora_load_seconds",
        "priority_scheduling",
        "max_num_seqs",
        "max_num_batched_tokens",
    }
)
_BATCHES = frozenset({"batch_profile", "measured"})
_TRITON = frozenset(
    {
        "max_batch_size",
        "dynamic_batching",
        "preferred_batch_size",
        "max_queue_delay_microseconds",
        "instance_group_count",
        "max_queue_size",
        "default_timeout_microseconds",
    }
)
_TORCHSERVE = frozenset({"batch_size", "max_batch_delay", "job_queue_size", "workers"})
_FIXED = frozenset({"batch_size", "max_wait_seconds", "instances", "pads"})

_FIELDS = {
    "vllm": _VLLM,
    "nim": _VLLM,
    "triton": _BATCHES | _TRITON,
    "torchserve": _BATCHES | _TORCHSERVE,
    "fixed-batch": _BATCHES | _FIXED,
}
"""Which fields each kind has."""


def server_of(section: ServerSection) -> ServerKind:
    """The server as the simulator takes it. Raises BadInput."""
    if section.kind == "vllm" or section.kind == "nim":
        return section.kind
    profile = batch_profile_of(section.batch_profile, section.measured)
    if section.kind == "triton":
        given = _given(section, _TRITON)
        preferred = tuple(given.pop("preferred_batch_size", ()))
        return BatchedModel(server=Triton(**given, preferred_batch_size=preferred), profile=profile)
    if section.kind == "torchserve":
        return BatchedModel(server=TorchServe(**_given(section, _TORCHSERVE)), profile=profile)
    if section.batch_size is None:
        raise BadInput(f"batch_size: was null, must be in [1, {MOST}] for kind fixed-batch; give the size to try")
    return BatchedModel(server=FixedBatch(**_given(section, _FIXED)), profile=profile)


def check_around(kind: ServerKind, *, router: str, is_disaggregated: bool) -> None:
    """Refuse what only works with vLLM's engine. router: router.policy. Raises BadInput."""
    if not isinstance(kind, BatchedModel):
        return
    if router in ("kv-aware", "prefix-aware", "lora-aware"):
        raise BadInput(
            f"router.policy: was {router}, must be least-outstanding, round-robin or queue-aware for {title(kind)}, "
            "which has no KV cache, prefixes or adapters; choose one of them"
        )
    if is_disaggregated:
        raise BadInput(
            f"disaggregation: was given, must be null for {title(kind)}, which does not part prefill from decode; "
            "leave it out"
        )


def _given(section: ServerSection, names: frozenset[str]) -> dict[str, Any]:
    """What is not null: the rest is the server's own default."""
    return {name: value for name in sorted(names) if (value := getattr(section, name)) is not None}


def batch_profile_of(name: str | None, measured: Sequence[Sequence[float]] | None) -> BatchProfile:
    """A built-in profile, or the line through (batch size, seconds of one batch) points. Raises BadInput.

    Its messages begin with `batch_profile` or `measured`.
    """
    known = ", ".join(BATCH_PROFILES)
    if (name is None) == (measured is None):
        was = "null" if name is None else f"{name!r} beside measured"
        raise BadInput(
            f"batch_profile: was {was}, must be one of {known}, or null with measured: batches take as long as your "
            "model takes; give one of the two"
        )
    if name is not None and name not in BATCH_PROFILES:
        raise BadInput(f"batch_profile: was {name!r}, must be one of {known}; give measured for another model")
    if name is not None:
        return BATCH_PROFILES[name]
    assert measured is not None
    for point in measured:
        if len(point) != 2 or point[0] != int(point[0]):
            raise BadInput(
                f"measured: was {list(point)} for one point, must be [batch size, seconds of one batch], such as "
                "[8, 0.009]"
            )
    return fitted_profile("measured", [(int(size), seconds) for size, seconds in measured], "measured by the user")
