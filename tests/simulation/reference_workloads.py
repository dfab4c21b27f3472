"""Hypothesis strategies of servers and requests that stress a scheduler: small caches, few seats, much in common.

All seconds are multiples of 2**-24 (where `exact`), so that float sums are exact in whatever order they are taken. Then
an engine that adds up its iterations differently, or jumps over many at once, still sees an arrival at the end of an
iteration as exactly that, and its instants can be compared with ==. Without `exact` the coefficients have nothing in
common with each other: no arrival falls on a boundary, and sums differ in their last digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from reference.blocks import TOKENS_PER_BLOCK
from reference.server import ReferenceModel, ReferenceRequest, Totals, serve

GRID_SECONDS = 2.0**-10  # arrivals lie on it, and with luck the iterations too
OFF_GRID_SECONDS = 2.0**-20


@dataclass(frozen=True)
class Workload:
    """requests: in order of arrival."""

    model: ReferenceModel
    requests: tuple[ReferenceRequest, ...]


@st.composite
def workloads(
    draw: st.DrawFn,
    *,
    max_requests: int = 12,
    exact: bool = True,
    prefix_caching: bool | None = None,
    adapters: bool | None = None,
    priorities: bool | None = None,
    aborts: bool | None = None,
) -> Workload:
    """One server and its requests. Each feature: True for always, False for never, None for sometimes."""
    use = {
        name: draw(st.booleans()) if wanted is None else wanted
        for name, wanted in (
            ("prefixes", prefix_caching),
            ("lora", adapters),
            ("priority", priorities),
            ("abort", aborts),
        )
    }
    model = draw(models(exact=exact, prefix_caching=use["prefixes"], adapters=use["lora"], priorities=use["priority"]))
    crowded = draw(st.booleans(), label="crowded")
    requests = draw(_requests(model, max_requests, prefixes=use["prefixes"], crowded=crowded))
    if exact:
        requests = draw(_arrive_at_a_boundary(model, requests))
    if use["abort"]:
        requests = draw(_aborted(model, requests, exact=exact))
    return Workload(model, tuple(requests))


@st.composite
def models(
    draw: st.DrawFn, *, exact: bool = True, prefix_caching: bool, adapters: bool, priorities: bool
) -> ReferenceModel:
    """Two blocks to two dozen, one seat to eight, budgets below one prompt."""

    def seconds(name: str, *multiples: int, unit: float) -> float:
        return draw(st.sampled_from(multiples), label=name) * (unit if exact else _incommensurable(name) * unit)

    return ReferenceModel(
        base=seconds("base", 1, 4, 6, unit=GRID_SECONDS),
        per_prefill_token=seconds("per_prefill_token", 0, 1, 16, unit=2.0**-14),
        per_decode_seq=seconds("per_decode_seq", 0, 1, 16, unit=2.0**-14),
        per_kv_token=seconds("per_kv_token", 0, 0, 1, 5, unit=2.0**-20),
        per_prefill_context_token=seconds("per_prefill_context_token", 0, 0, 1, unit=2.0**-20),
        kv_blocks=draw(st.one_of(st.integers(2, 8), st.integers(9, 24)), label="kv_blocks"),
        max_num_seqs=draw(st.sampled_from([8, 4, 3, 2, 1]), label="max_num_seqs"),
        max_num_batched_tokens=draw(st.sampled_from([256, 64, 48, 33, 17, 8]), label="max_num_batched_tokens"),
        enable_prefix_caching=prefix_caching,
        max_loras=draw(st.sampled_from([1, 2, 3]), label="max_loras") if adapters else 0,
        lora_load_seconds=seconds("lora_load_seconds", 0, 2, 7, unit=GRID_SECONDS),
        priority_scheduling=priorities,
        overhead_seconds=seconds("overhead_seconds", 0, 3, unit=GRID_SECONDS / 2),
    )


@st.composite
def _requests(
    draw: st.DrawFn, model: ReferenceModel, max_requests: int, *, prefixes: bool, crowded: bool
) -> list[ReferenceRequest]:
    """Lengths near the ends of blocks; one in a while is too long for the cache.

    crowded: short prompts with long answers, nearly all at once, which outgrow the cache together: preemptions.
    """
    room = model.kv_blocks * TOKENS_PER_BLOCK
    at_block_ends = st.builds(lambda blocks, more: max(1, blocks * 16 + more), st.integers(0, 4), st.integers(-1, 1))
    if crowded:
        prompts = st.integers(1, max(8, room // 4))
        outputs = st.integers(8, max(8, room // 2))
        gaps = st.sampled_from([0, 0, 0, 1, 2, 8])
    else:
        prompts = st.one_of(at_block_ends, st.integers(1, room // 2), st.integers(1, room + 1))
        outputs = st.one_of(st.integers(1, 3), at_block_ends, st.integers(1, 60))
        gaps = st.sampled_from([0, 0, 0, 1, 2, 3, 8, 40, 400])
    id_tokens = draw(st.sampled_from([16, 32, 48])) if prefixes else 16
    longest = 6 if prefixes else 0
    texts = st.lists(st.sampled_from([0, 1, 2]), min_size=min(1, longest), max_size=longest).map(tuple)
    shared = draw(texts)
    arrival = draw(st.sampled_from([0.0, 3.0]))
    requests = []
    counts = st.one_of(st.integers(max(1, max_requests // 2), max_requests), st.integers(1, min(3, max_requests)))
    for _ in range(draw(counts, label="requests")):
        arrival += draw(gaps) * GRID_SECONDS + draw(st.sampled_from([0, 0, 0, OFF_GRID_SECONDS]))
        ids = shared[: draw(st.integers(1, 6))] if draw(st.integers(0, 3)) else draw(texts)
        prompt = draw(prompts)
        if draw(st.booleans()) and ids:  # long enough to find some of it
            prompt = min(prompt + len(ids) * id_tokens, room // 2)
        changes: dict[str, Any] = {
            "lora": draw(st.sampled_from([0, 1, 2, 3, -1])) if model.max_loras else -1,
            "priority": draw(st.integers(0, 2)) if model.priority_scheduling else 0,
            "prefix_ids": ids,
            "prefix_block_tokens": id_tokens,
        }
        requests.append(ReferenceRequest(arrival, max(1, prompt), draw(outputs), **changes))
    return requests


@st.composite
def _arrive_at_a_boundary(
    draw: st.DrawFn, model: ReferenceModel, requests: Sequence[ReferenceRequest]
) -> list[ReferenceRequest]:
    """Moves one arrival, and those after it, to the exact end of an iteration of the requests before."""
    pivot = draw(st.integers(0, len(requests) - 1), label="arrives at a boundary")
    ends = [end for end in _totals(model, requests[:pivot]).iteration_ends if end >= requests[pivot].arrival]
    if not ends:
        return list(requests)
    later = draw(st.sampled_from(ends[:4])) - requests[pivot].arrival
    moved = [replace(request, arrival=request.arrival + later) for request in requests[pivot:]]
    return [*requests[:pivot], *moved]


@st.composite
def _aborted(
    draw: st.DrawFn, model: ReferenceModel, requests: Sequence[ReferenceRequest], *, exact: bool
) -> list[ReferenceRequest]:
    """Gives up some requests: at an iteration's end (of the run without aborts), beside one, or as they arrive."""
    ends = _totals(model, requests).iteration_ends
    aborted = []
    for request in requests:
        after = [end for end in ends if end >= request.arrival]
        abort_at = math.inf if draw(st.integers(0, 2)) else draw(st.sampled_from([request.arrival, *after[:60]]))
        if not exact or draw(st.booleans()):
            abort_at += OFF_GRID_SECONDS
        aborted.append(replace(request, abort_at=abort_at))
    return aborted


def _totals(model: ReferenceModel, requests: Sequence[ReferenceRequest]) -> Totals:
    return serve(model, requests)[1]


def _incommensurable(name: str) -> float:
    """Its own irrational factor for each coefficient, between 1 and 1.6: sums of them hardly ever meet."""
    names = list(ReferenceModel.__dataclass_fields__)
    return 1 + math.modf(math.sqrt(2 + 3 * names.index(name)))[0] * 0.6
