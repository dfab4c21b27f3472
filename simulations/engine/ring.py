"""Requests come into a ring in order of arrival and leave it, in that order, when they are done with.

So weeks of demand need no more memory than what is under way. A ring that is full of requests under way is doubled.
"""

import math
from typing import Any

import numpy as np

from policies.errors import BadInput
from simulations.engine.cache_folder import entry
from simulations.engine.cells import request_at
from simulations.engine.layout import COUNT, F8, I4, INDEX, NONE, NOWHERE, REQUEST, WAITING, World, replaced
from simulations.request_rows import PENDING
from simulations.trace import Trace

PRIORITY_LEVELS = 8
"""Levels of the waiting queue where a server schedules by priority: priorities 0 (first) to 7."""


def loaded(world: World, piece: Trace) -> World:
    """The world with the next requests of its demand, in the same tables or in larger ones."""
    levels = int(world.world["levels"][0])
    _check_priorities(piece, levels)
    world = _with_room(world, len(piece))
    first = int(world.world["loaded"][0])
    _fill(
        world.world,
        first,
        np.ascontiguousarray(piece.arrival_seconds, np.float64),
        np.ascontiguousarray(piece.prompt_tokens, np.int32),
        np.ascontiguousarray(piece.output_tokens, np.int32),
    )
    at = (first + np.arange(len(piece))) & (len(world.requests) - 1)
    for field, values in (
        ("lora", piece.lora),
        ("e2e_limit", piece.e2e_limit_seconds),
        ("priority", piece.priority),
        ("level", piece.priority if levels > 1 else None),
    ):
        if values is not None:
            world.requests[field][at] = values
    if piece.turns is not None:
        following = piece.turns.next_request
        turns = following != NONE
        world.requests["next_turn"][at[turns]] = at[following[turns]]
        world.requests["think"][at] = piece.turns.think_seconds
        world.requests["is_turn"][at[following[turns]]] = 1
    if piece.prefixes is not None:
        world = _with_ids(world, piece, at)
    world.world["loaded"] += len(piece)
    return world


def _check_priorities(piece: Trace, levels: int) -> None:
    """Refuse what a server that schedules by priority has no level for. Raises BadInput."""
    if piece.priority is None or levels == 1:
        return
    low, high = int(piece.priority.min()), int(piece.priority.max())
    if low < 0 or high >= levels:
        raise BadInput(
            f"priority: was {low if low < 0 else high}, must be in [0, {levels - 1}]; renumber the demand's "
            "priorities, 0 is served first"
        )


@entry
def _fill(worlds: Any, first: int, arrival: F8, prompt_tokens: I4, output_tokens: I4) -> None:
    """Put new requests into the ring, the first of them with number `first`."""
    w = worlds[0]
    for index in range(len(arrival)):
        asked = request_at(w, (first + index) & w.ring_mask)
        asked.arrival = arrival[index]
        asked.enqueued = math.nan
        asked.first_token = math.nan
        asked.finish = math.nan
        asked.last_token = math.nan
        asked.e2e_limit = math.nan
        asked.think = 0.0
        asked.number = 0
        asked.prefix_start = 0
        asked.prompt_tokens = prompt_tokens[index]
        asked.output_tokens = output_tokens[index]
        asked.generated = 0
        asked.cached_tokens = NONE
        asked.preemptions = 0
        asked.outcome = PENDING
        asked.replica = NONE
        asked.priority = 0
        asked.level = 0
        asked.lora = NONE
        asked.place = NOWHERE
        asked.row = NONE
        asked.slot = NONE
        asked.successor = NONE
        asked.next_turn = NONE
        asked.is_turn = 0
        asked.prefix_count = 0
        asked.own_run = NONE
        asked.remote = 0


def _with_ids(world: World, piece: Trace, at: I4) -> World:
    prefixes = piece.prefixes
    assert prefixes is not None
    once = world.world[0]
    if prefixes.block_tokens != once["prefix_block_tokens"]:
        raise BadInput(
            f"prefixes: blocks of {prefixes.block_tokens} tokens, must be {once['prefix_block_tokens']} as in the "
            "demand's first requests"
        )
    first = int(once["prefix_loaded"])
    world = _with_id_room(world, first + len(prefixes.ids))
    world.ids["count"][(first + np.arange(len(prefixes.ids))) & (len(world.ids) - 1)] = prefixes.ids
    world.requests["prefix_start"][at] = first + prefixes.offsets[:-1]
    world.requests["prefix_count"][at] = np.diff(prefixes.offsets)
    world.world["prefix_loaded"] += len(prefixes.ids)
    return world


def _with_room(world: World, more: int) -> World:
    """Room in the ring for so many requests more; every index of a request moves with it."""
    once = world.world[0]
    flushed, end = int(once["flushed"]), int(once["loaded"])
    old = world.requests
    if end - flushed + more <= len(old):
        return world
    size = 1 << (end - flushed + more - 1).bit_length()
    numbers = np.arange(flushed, end)
    moved = np.full(len(old) + 1, NONE, np.int64)  # old index -> new index; NONE, the last entry, stays NONE
    moved[numbers & (len(old) - 1)] = numbers & (size - 1)
    requests = np.zeros(size, REQUEST)
    requests[numbers & (size - 1)] = old[numbers & (len(old) - 1)]
    for field in ("successor", "next_turn"):
        requests[field] = moved[requests[field]]
    for table, field in (
        (world.world, "gateway_head"),
        (world.world, "gateway_tail"),
        (world.slots, "request"),
        (world.deferred, "request"),
        (world.nodes, "owner"),
    ):
        table[field] = moved[table[field]]
    world.queues["index"] = moved[world.queues["index"]]
    return replaced(world, requests=requests)


def _with_id_room(world: World, end: int) -> World:
    once = world.world[0]
    oldest = int(once["prefix_loaded"])
    if once["flushed"] < once["loaded"]:
        numbers = np.arange(int(once["flushed"]), int(once["loaded"])) & (len(world.requests) - 1)
        counted = world.requests["prefix_count"][numbers] > 0
        if counted.any():
            oldest = int(world.requests["prefix_start"][numbers][counted].min())
    old = len(world.ids)
    if end - oldest <= old:
        return world
    size = 1 << (end - oldest - 1).bit_length()
    per_id = len(world.held) // old
    numbers = np.arange(oldest, int(once["prefix_loaded"]))
    ids = np.zeros(size, COUNT)
    ids[numbers & (size - 1)] = world.ids[numbers & (old - 1)]
    held = np.zeros((size, per_id), INDEX)
    held[numbers & (size - 1)] = world.held.reshape(old, per_id)[numbers & (old - 1)]
    return replaced(world, ids=ids, held=held.reshape(-1))


@entry
def flushable(worlds: Any) -> int:
    """How many of the ring's oldest requests are done with."""
    w = worlds[0]
    number = w.flushed
    while number < w.loaded:
        asked = request_at(w, number & w.ring_mask)
        if asked.outcome == PENDING or asked.place != NOWHERE:
            break
        number += 1
    return int(number - w.flushed)


@entry
def prefill_tokens_under_way(worlds: Any) -> int:
    """Prompt tokens of requests that were sent to a server and have no first token yet."""
    w = worlds[0]
    tokens = 0
    for number in range(w.flushed, w.loaded):
        asked = request_at(w, number & w.ring_mask)
        if asked.place >= WAITING and asked.outcome == PENDING and math.isnan(asked.first_token):
            tokens += asked.prompt_tokens
    return tokens
