"""Mooncake's JSONL, one request a line (kvcache-ai/Mooncake, FAST25-release/traces)."""

import json
from collections.abc import Iterator
from typing import IO

from simulations.demand.csv_rows import number_ns, whole_number
from simulations.demand.rows import MAX_TOKENS, BadRow, Row, Skips

MOONCAKE_FIELDS = ("timestamp", "input_length", "output_length")
MOONCAKE_BLOCK_TOKENS = 512
"""Tokens that one of `hash_ids` stands for: equal leading ids are an equal prefix."""


def mooncake_rows(file: IO[str], skips: Skips) -> Iterator[Row]:
    """The requests; empty lines are none."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        skips.rows += 1
        try:
            row = _row(line, number)
        except BadRow as bad:
            skips.add(number, bad)
            continue
        yield row


def _row(line: str, number: int) -> Row:
    try:
        request = json.loads(line)
    except ValueError as error:
        raise BadRow("not JSON", f"is not JSON ({error}); mend or remove the line") from None
    missing = [name for name in MOONCAKE_FIELDS if not isinstance(request, dict) or name not in request]
    if missing:
        raise BadRow(missing[0], f"{missing[0]} is missing, must be an object with {', '.join(MOONCAKE_FIELDS)}")
    time, prompt, output = (request[name] for name in MOONCAKE_FIELDS)
    return Row(
        line=number,
        time_ns=number_ns(time, 1e-3, MOONCAKE_FIELDS[0]),
        time_text=str(time),
        prompt_tokens=whole_number(prompt, MOONCAKE_FIELDS[1], 1, MAX_TOKENS),
        output_tokens=whole_number(output, MOONCAKE_FIELDS[2], 0, MAX_TOKENS),
        hash_ids=_hash_ids(request["hash_ids"]) if "hash_ids" in request else None,
    )


def _hash_ids(ids: object) -> tuple[int, ...]:
    if not isinstance(ids, list) or not all(type(each) is int and 0 <= each < 2**63 for each in ids):
        text = str(ids) if len(str(ids)) <= 60 else str(ids)[:57] + "..."
        raise BadRow(
            "hash_ids",
            f"hash_ids was {text}, must be a list of whole numbers, 0 or more; mend the line",
        )
    return tuple(ids)
