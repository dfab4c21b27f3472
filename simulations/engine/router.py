"""Where a request is sent: round robin, least outstanding, or the best weighted score of an endpoint picker.

Scores are those of the Gateway API Inference Extension's plugins, each in [0, 1]:
queue 1 for the shortest waiting queue, 0 for the longest, linear between; kv 1 - KV-cache usage; prefix the share of
the prompt's blocks that the server has; lora 1 where the adapter is loaded, 0.8 where there is room for one more, else
0.
Queues and KV usage are what was seen at the last refresh; what a server has cached is known at once, from its events.
Of equals the next in turn is taken, so that stale signals do not send everything to one server for another reason
than their age.

Where requests are split between two models of server (split.py), each is balanced over the servers of its own.
"""

import math
from typing import Any

from policies.capacity.kv_cache import BLOCK_TOKENS
from simulations.engine.blocks import found_blocks, publish_generated
from simulations.engine.cache_folder import part
from simulations.engine.cells import adapter_at, model_at, open_at, request_at, server_at
from simulations.engine.completion import settle
from simulations.engine.features import feature
from simulations.engine.layout import DECODE, NONE, PREFILL
from simulations.engine.split import is_other_model, model_of_request

ROUND_ROBIN, LEAST_OUTSTANDING, SCORED = range(3)


@part
def route(w: Any, request: int, now: float) -> int:
    """The server for a request, NONE where none may be used."""
    if w.open_count == 0:
        return NONE
    remote = request_at(w, request).remote
    mixed = w.open_decode > 0 or remote
    turn = w.decode_turn if remote else w.turn
    model = model_of_request(w, request)
    if w.router == ROUND_ROBIN or w.router == LEAST_OUTSTANDING:
        best = NONE
        best_outstanding = 0
        for step in range(w.open_count):
            index = step
            if w.router == ROUND_ROBIN:
                index = (turn + step) % w.open_count
            row: int = open_at(w, index).index
            if mixed and server_at(w, row).role == (PREFILL if remote else DECODE):
                continue
            if is_other_model(w, row, model):
                continue
            if w.router == ROUND_ROBIN:
                _end_turn(w, remote, index)
                return row
            if best == NONE or server_at(w, row).outstanding < best_outstanding:
                best = row
                best_outstanding = server_at(w, row).outstanding
        return best
    if w.signal_interval <= 0.0:
        refresh(w, now)
    return int(_best_scored(w, request, model, now))


@part
def _end_turn(w: Any, remote: int, index: int) -> None:
    """The next in turn is the one after `index`; requests from prefill servers have a turn of their own."""
    if remote:
        w.decode_turn = index + 1
    else:
        w.turn = index + 1


@part
def refresh_if_due(w: Any, now: float) -> None:
    """Where signals are stale: let the router see the servers as they were at the last multiple of the interval."""
    if now >= w.next_refresh:
        seen = math.floor(now / w.signal_interval) * w.signal_interval
        refresh(w, seen)
        w.next_refresh = seen + w.signal_interval


@feature(otherwise=None)
def refresh(w: Any, now: float) -> None:
    """Let the router see every server's queue, batch and KV usage at `now`, before what happens at that instant."""
    for index in range(w.open_count):
        row = open_at(w, index).index
        settle(w, row, now, False)
        server = server_at(w, row)
        server.seen_waiting = server.waiting
        server.seen_kv = 1.0 - server.free_blocks / model_at(w, server.model).kv_blocks


@feature(otherwise=NONE)
def _best_scored(w: Any, request: int, model: int, now: float) -> int:
    asked = request_at(w, request)
    excluded = PREFILL if asked.remote else DECODE
    least = 1 << 60
    most = 0
    for index in range(w.open_count):
        server = server_at(w, open_at(w, index).index)
        if server.role != excluded and not is_other_model(w, open_at(w, index).index, model):
            least = min(least, server.seen_waiting)
            most = max(most, server.seen_waiting)
    turn = w.decode_turn if asked.remote else w.turn
    best = NONE
    best_index = 0
    best_score = -1.0
    for step in range(w.open_count):
        index = (turn + step) % w.open_count
        row = open_at(w, index).index
        server = server_at(w, row)
        if server.role == excluded or is_other_model(w, row, model):
            continue
        score = w.kv_weight * (1.0 - server.seen_kv)
        score += w.queue_weight * (1.0 if most == least else (most - server.seen_waiting) / (most - least))
        if w.prefix_weight > 0.0 and asked.prefix_count > 0 and model_at(w, server.model).prefix_caching:
            settle(w, row, now, False)
            if server.publishing > 0:
                publish_generated(w, row, server.admissions)
            blocks = (asked.prompt_tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS
            score += w.prefix_weight * found_blocks(w, row, request) / blocks
        if w.lora_weight > 0.0 and asked.lora >= 0:
            score += w.lora_weight * _lora_score(w, row, asked.lora)
        if score > best_score:
            best = row
            best_index = index
            best_score = score
    if best != NONE:
        _end_turn(w, asked.remote, best_index)
    return best


@part
def _lora_score(w: Any, row: int, lora: int) -> float:
    first = row * w.adapter_room
    room = model_at(w, server_at(w, row).model).max_loras
    score = 0.0
    for place in range(first, first + room):
        if adapter_at(w, place).lora == lora:
            return 1.0
        if adapter_at(w, place).running == 0:
            score = 0.8
    return score
