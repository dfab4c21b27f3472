"""Which server answers in each replica: vLLM, NVIDIA NIM, or one that batches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from simulations.batching import BatchProfile, FixedBatch, TorchServe, Triton, engines_of
from simulations.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchedModel:
    """A server that answers in batches, and how long its batches take."""

    server: Triton | TorchServe | FixedBatch
    profile: BatchProfile


ServerKind = Literal["vllm", "nim"] | BatchedModel
"""nim: vLLM's engine, with the metrics page of NVIDIA NIM for LLMs 1.x."""


def engine_maker(kind: ServerKind) -> Callable[..., Engine]:
    """What makes the engine of a fleet of such servers, with the arguments of `Engine`."""
    return engines_of(kind.server, kind.profile) if isinstance(kind, BatchedModel) else Engine


def title(kind: ServerKind) -> str:
    """As people call it."""
    if not isinstance(kind, BatchedModel):
        return {"vllm": "vLLM", "nim": "NVIDIA NIM"}[kind]
    return {Triton: "Triton", TorchServe: "TorchServe", FixedBatch: "a server of fixed batches"}[type(kind.server)]
