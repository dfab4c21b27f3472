"""Servers that come and go: a row of the tables becomes a server, takes requests, stops taking them, dies."""

import math
from typing import Any

import numpy as np

from simulations.engine.cache_folder import entry, part
from simulations.engine.cells import queue_at, request_at, server_at, slot_at
from simulations.engine.completion import send_next_turn, settle
from simulations.engine.events import place_plan
from simulations.engine.layout import (
    ADAPTER,
    DECODE,
    HISTOGRAM_WIDTH,
    NODE,
    NONE,
    NOWHERE,
    PREFILL,
    SERVER,
    SLOT,
    World,
)
from simulations.engine.seats import is_passed_over
from simulations.engine.serve import wait_at_gateway
from simulations.request_rows import FAILED, PENDING


def new_server(world: World, row: int, *, model: int, role: int, pod: int) -> None:
    """Put an idle server with an empty cache where none is, or where one is gone; it is not open yet."""
    once = world.world[0]
    server = np.zeros((), SERVER)
    server["model"], server["role"], server["pod"] = model, role, pod
    for field in ("heap_index", "partial", "prefilling", "first", "last", "lru_head", "lru_tail"):
        server[field] = NONE
    server["free_blocks"] = world.models["kv_blocks"][model]
    seats = slice(row * once["seats"], (row + 1) * once["seats"])
    slots = np.zeros(int(once["seats"]), SLOT)
    slots["next"] = np.arange(seats.start + 1, seats.stop + 1)
    slots["next"][-1] = NONE
    world.slots[seats] = slots
    server["vacant"] = seats.start
    world.queues["index"][2 * row * once["levels"] : 2 * (row + 1) * once["levels"]] = NONE
    world.residues["count"][row * 16 : (row + 1) * 16] = 0
    world.counts["count"][row * 3 * HISTOGRAM_WIDTH : (row + 1) * 3 * HISTOGRAM_WIDTH] = 0
    unused = np.zeros((), ADAPTER)
    unused["lora"], unused["used"] = NONE, -math.inf
    world.adapters[row * once["adapter_room"] : (row + 1) * once["adapter_room"]] = unused
    if world.models["prefix_caching"][model]:
        _empty_cache(world, row, server)
    world.servers[row] = server


def _empty_cache(world: World, row: int, server: Any) -> None:
    """One run of all blocks, with nothing in it."""
    room = int(world.world["node_room"][0])
    first = row * room
    nodes = np.zeros(room, NODE)
    nodes["next"] = np.arange(first + 1, first + room + 1)
    nodes["next"][-1] = NONE
    nodes[0]["count"] = server["free_blocks"]
    nodes[0]["owner"] = nodes[0]["previous"] = nodes[0]["next"] = NONE
    world.nodes[first : first + room] = nodes
    server["lru_head"] = server["lru_tail"] = first
    server["vacant_node"] = first + 1
    buckets = int(world.world["bucket_room"][0])
    world.buckets["index"][row * buckets : (row + 1) * buckets] = NONE


def open_row(world: World, row: int) -> None:
    """Let the router send requests to a server."""
    once = world.world[0]
    world.servers["routable"][row] = 1
    world.open["index"][once["open_count"]] = row
    once["open_count"] += 1
    once["open_prefill"] += world.servers[row]["role"] == PREFILL
    once["open_decode"] += world.servers[row]["role"] == DECODE
    once["gateway_stuck"] = 0


def close_row(world: World, row: int) -> None:
    """Send it no more; what it has it finishes. The others keep their order."""
    once = world.world[0]
    if world.servers[row]["routable"]:
        world.servers[row]["routable"] = 0
        rows = world.open["index"][: once["open_count"]]
        kept = rows[rows != row]
        world.open["index"][: len(kept)] = kept
        once["open_count"] = len(kept)
        once["open_prefill"] -= world.servers[row]["role"] == PREFILL
        once["open_decode"] -= world.servers[row]["role"] == DECODE


@entry
def fail_row(worlds: Any, row: int, now: float, retries: bool) -> None:
    """A closed server dies with all it holds. retries: clients send their requests again at once; else they fail."""
    w = worlds[0]
    settle(w, row, now, True)
    server = server_at(w, row)
    index = server.first
    while index != NONE:
        following = slot_at(w, index).next
        slot = slot_at(w, index)
        generated = slot.generated
        if slot.decoding:  # one that is passed over has lost the token that the iteration would have booked
            generated += server.decoded + (1 if is_passed_over(w, row, index) else 0)
        request_at(w, slot.request).generated = generated
        _lose(w, slot.request, now, retries)
        index = following
    for level in range(w.levels):
        request = queue_at(w, 2 * (row * w.levels + level)).index
        while request != NONE:
            following = request_at(w, request).successor
            _lose(w, request, now, retries)
            request = following
    server.in_step = 0
    place_plan(w, row)
    server.outstanding = 0
    server.aborting = 0
    server.running = 0
    server.waiting = 0
    server.last_finish = now


@part
def _lose(w: Any, request: int, now: float, retries: bool) -> None:
    asked = request_at(w, request)
    asked.place = NOWHERE
    asked.slot = NONE
    asked.own_run = NONE
    if asked.outcome != PENDING:  # its client was gone before
        return
    if retries:
        w.restarted_tokens += asked.generated
        asked.generated = 0
        asked.first_token = math.nan
        asked.cached_tokens = NONE
        asked.remote = 0
        wait_at_gateway(w, request, now)
    else:
        asked.outcome = FAILED
        send_next_turn(w, request, now)
