"""One request as a row: what the engine hands over when it is done with it, and what results are made of.

Pieces are numpy structured arrays that have at least the fields of `ROW`, in any order and layout.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]
"""Shape (requests,), with the fields of ROW."""

PENDING, SERVED, REJECTED, TIMED_OUT, ABORTED, FAILED, NEVER_SENT = range(7)
"""What became of a request: OUTCOMES says what each means."""

OUTCOMES = (
    "pending",  # the run ended first
    "served",
    "rejected",  # can never fit the KV cache; of a server that batches: its queue was full, or it waited too long there
    "timed_out",  # at the gateway, no replica took it
    "aborted",  # the client gave up
    "failed",  # with its replica
    "never_sent",  # it would have followed an answer that came after the end of the demand, or never
)
"""What became of a request, by its code."""

ROW = np.dtype(
    [
        ("arrival", np.float64),  # seconds since the start of the run, as all instants; NaN until it happens
        ("enqueued", np.float64),  # reached a server
        ("first_token", np.float64),
        ("finish", np.float64),
        ("e2e_limit", np.float64),  # judged by E2E against these seconds; NaN: by the run's SLO
        ("prompt_tokens", np.int32),
        ("output_tokens", np.int32),  # asked for
        ("generated", np.int32),  # output tokens when it left its last slot: served ones have them all
        ("cached_tokens", np.int32),  # of the prompt, found in the prefix cache; negative: never looked up
        ("preemptions", np.int32),
        ("replica", np.int32),  # number of its pod, -1 for none
        ("priority", np.int32),
        ("lora", np.int32),  # -1 for the base model
        ("outcome", np.int8),
    ],
    align=True,
)


class Latencies(NamedTuple):
    """Seconds per request, NaN where there is none; shape (requests,).

    ttft: from arrival at the gateway to the first token, of every request that got one.
    tpot: (finish - first token) / (output tokens - 1), of served ones with 2 tokens or more.
    e2e: from arrival to the last token, of served ones.
    """

    ttft: NDArray[np.float64]
    tpot: NDArray[np.float64]
    e2e: NDArray[np.float64]


def latencies(rows: Rows) -> Latencies:
    """What each client saw."""
    served = rows["outcome"] == SERVED
    gaps = np.where(served & (rows["output_tokens"] > 1), rows["output_tokens"] - 1.0, np.nan)
    return Latencies(
        ttft=rows["first_token"] - rows["arrival"],
        tpot=(rows["finish"] - rows["first_token"]) / gaps,
        e2e=np.where(served, rows["finish"] - rows["arrival"], np.nan),
    )
