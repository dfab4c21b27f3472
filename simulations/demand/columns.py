"""Traces with the same columns, so that they can be put together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulations.trace import Prefixes, Trace, Turns, offsets_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which optional columns there are. block_tokens: of the prefixes; None for no prefixes."""

    block_tokens: int | None
    lora: bool
    priority: bool
    e2e_limit_seconds: bool
    turns: bool

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> "Columns":
        """All that any of them has; prefixes in the largest blocks that divide all."""
        blocks = [trace.prefixes.block_tokens for trace in traces if trace.prefixes is not None]
        return cls(
            block_tokens=math.gcd(*blocks) if blocks else None,
            lora=any(trace.lora is not None for trace in traces),
            priority=any(trace.priority is not None for trace in traces),
            e2e_limit_seconds=any(trace.e2e_limit_seconds is not None for trace in traces),
            turns=any(trace.turns is not None for trace in traces),
        )

    def complete(self, trace: Trace) -> Trace:
        """The trace with these columns; what it says nothing of has the value that changes nothing."""
        count = len(trace)
        return replace(
            trace,
            prefixes=None if self.block_tokens is None else _in_blocks_of(trace, self.block_tokens),
            lora=np.full(count, -1, np.int32) if self.lora and trace.lora is None else trace.lora,
            priority=np.zeros(count, np.int32) if self.priority and trace.priority is None else trace.priority,
            e2e_limit_seconds=(
                np.full(count, np.nan)
                if self.e2e_limit_seconds and trace.e2e_limit_seconds is None
                else trace.e2e_limit_seconds
            ),
            turns=(
                Turns(next_request=np.full(count, -1, np.int32), think_seconds=np.zeros(count))
                if self.turns and trace.turns is None
                else trace.turns
            ),
        )


def _in_blocks_of(trace: Trace, block_tokens: int) -> Prefixes:
    """The trace's prefixes in smaller blocks: each id becomes as many ids of its own."""
    prefixes = trace.prefixes
    if prefixes is None:
        none = np.zeros(0, np.int64)
        return Prefixes(block_tokens=block_tokens, offsets=np.zeros(len(trace) + 1, np.int64), ids=none)
    parts, rest = divmod(prefixes.block_tokens, block_tokens)
    assert not rest, f"blocks of {prefixes.block_tokens} tokens do not divide into blocks of {block_tokens}"
    if parts == 1:
        return prefixes
    ids = (prefixes.ids[:, None] * parts + np.arange(parts)).ravel()
    return Prefixes(block_tokens=block_tokens, offsets=prefixes.offsets * parts, ids=ids)


def concatenated(traces: Sequence[Trace]) -> Trace:
    """One after the other, in no order of time; all have the same columns. The first one's name, calendar and end."""
    if len(traces) == 1:
        return traces[0]
    prefixes = [trace.prefixes for trace in traces if trace.prefixes is not None]
    lora = [trace.lora for trace in traces if trace.lora is not None]
    priority = [trace.priority for trace in traces if trace.priority is not None]
    limits = [trace.e2e_limit_seconds for trace in traces if trace.e2e_limit_seconds is not None]
    return replace(
        traces[0],
        arrival_seconds=np.concatenate([trace.arrival_seconds for trace in traces]),
        prompt_tokens=np.concatenate([trace.prompt_tokens for trace in traces]),
        output_tokens=np.concatenate([trace.output_tokens for trace in traces]),
        prefixes=(
            Prefixes(
                block_tokens=prefixes[0].block_tokens,
                offsets=offsets_of(np.concatenate([np.diff(each.offsets) for each in prefixes])),
                ids=np.concatenate([each.ids for each in prefixes]),
            )
            if prefixes
            else None
        ),
        lora=np.concatenate(lora) if lora else None,
        priority=np.concatenate(priority) if priority else None,
        e2e_limit_seconds=np.concatenate(limits) if limits else None,
        turns=_chained(traces),
    )


def _chained(traces: Sequence[Trace]) -> Turns | None:
    turns = [trace.turns for trace in traces if trace.turns is not None]
    if not turns:
        return None
    before = offsets_of(np.array([len(trace) for trace in traces], np.int64))[:-1]
    following = [
        np.where(each.next_request < 0, -1, each.next_request + start)
        for each, start in zip(turns, before, strict=True)
    ]
    return Turns(
        next_request=np.concatenate(following).astype(np.int32),
        think_seconds=np.concatenate([each.think_seconds for each in turns]),
    )


def in_order(trace: Trace) -> Trace:
    """Sorted by arrival; equal arrivals stay in order, so that a chain of turns does."""
    order = np.argsort(trace.arrival_seconds, kind="stable")
    turns = trace.turns
    if turns is not None:
        place = np.full(len(trace) + 1, -1, np.int32)
        place[order] = np.arange(len(trace), dtype=np.int32)
        turns = Turns(next_request=place[turns.next_request[order]], think_seconds=turns.think_seconds[order])
    return replace(replace(trace, turns=None).part(order), turns=turns)
