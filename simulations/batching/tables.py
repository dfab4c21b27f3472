"""The memory of batching servers, beside the engine's: what a batcher holds, its batches, and what it has counted.

Rows are the engine's. A batch's requests are a list, linked by the requests' `successor`.
"""

from typing import Any, NamedTuple

import numpy as np

from simulations.batching.batch_profile import BatchProfile
from simulations.batching.rule import Rule
from simulations.engine.layout import NONE

# What a batch is: not there, waiting for an instance or being filled, or running.
FREE, WAITS, RUNS = range(3)

_F, _L = np.float64, np.int64

SETTINGS = np.dtype(
    [
        ("kind", _L),
        ("instances", _L),
        ("max_batch_size", _L),
        ("delay", _F),
        ("pads", _L),
        ("max_queue_size", _L),
        ("timeout", _F),
        ("max_preferred", _L),
        ("prefetches", _L),
        ("batches", _L),  # places for batches a server
        ("base", _F),
        ("per_item", _F),
        ("per_prompt_token", _F),
        ("per_output_token", _F),
        ("per_output_step", _F),
    ],
    align=True,
)

BATCHER = np.dtype(
    [
        ("queued", _L),  # requests in no batch yet
        ("examined", _L),  # of them, those that the batcher has looked at: its pending batch
        ("filling", _L),  # the batch that may still grow, NONE if none
        ("saturated", _L),  # 1: it may not
        ("running_batches", _L),
        ("waiting_batches", _L),
        ("formed", _L),  # batches so far: the order in which they wait
        ("deadline", _F),  # of the batch that a worker collects
        # what it has counted
        ("received", _L),
        ("rejected", _L),
        ("executions", _L),
        ("queue_ns", _L),  # from a request's arrival to the start of its batch, of those that were served
        ("compute_ns", _L),  # from there to its end: once a request, not once a batch
        ("request_ns", _L),  # both
        ("last_queue_ns", _L),  # of the request that was served last
    ],
    align=True,
)

BATCH = np.dtype(
    [
        ("state", _L),
        ("order", _L),
        ("count", _L),
        ("first", _L),  # request
        ("last", _L),
        ("sealed", _L),  # 1: nothing is added any more
        ("prompt_tokens", _L),
        ("output_tokens", _L),
        ("longest", _L),  # output tokens of its longest request
        ("oldest", _F),  # when its first request came
        ("ends", _F),
    ],
    align=True,
)


class Tables(NamedTuple):
    """settings: one record. batchers: one a row. batches: settings.batches a row. preferred: by batch size, 1 or 0."""

    settings: Any
    batchers: Any
    batches: Any
    preferred: Any


def new_tables(rule: Rule, profile: BatchProfile) -> Tables:
    """No rows yet."""
    settings = np.zeros(1, SETTINGS)
    values: dict[str, Any] = {
        "kind": rule.kind,
        "instances": rule.instances,
        "max_batch_size": rule.max_batch_size,
        "delay": rule.delay_seconds,
        "pads": rule.pads,
        "max_queue_size": rule.max_queue_size,
        "timeout": rule.timeout_seconds,
        "max_preferred": max(rule.preferred_batch_sizes, default=rule.max_batch_size),
        "prefetches": rule.prefetches,
        "batches": rule.batches,
        "base": profile.base_seconds,
        "per_item": profile.per_item_seconds,
        "per_prompt_token": profile.per_prompt_token_seconds,
        "per_output_token": profile.per_output_token_seconds,
        "per_output_step": profile.per_output_step_seconds,
    }
    for name, value in values.items():
        settings[name] = value
    preferred = np.zeros(rule.max_batch_size + 1, np.int8)
    preferred[list(rule.preferred_batch_sizes)] = 1
    return Tables(settings, np.zeros(0, BATCHER), np.zeros(0, BATCH), preferred)


def with_rows(tables: Tables, rows: int) -> Tables:
    """The same with room for that many servers."""
    batches = int(tables.settings["batches"][0])
    return tables._replace(
        batchers=np.concatenate([tables.batchers, np.zeros(rows - len(tables.batchers), BATCHER)]),
        batches=np.concatenate([tables.batches, np.zeros(rows * batches - len(tables.batches), BATCH)]),
    )


def clear_row(tables: Tables, row: int) -> None:
    """A new server: nothing held, nothing counted."""
    batches = int(tables.settings["batches"][0])
    tables.batchers[row] = np.zeros((), BATCHER)
    tables.batchers["filling"][row] = NONE
    tables.batches[row * batches : (row + 1) * batches] = np.zeros((), BATCH)
